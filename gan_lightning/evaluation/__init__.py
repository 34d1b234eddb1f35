"""Evaluation: metrics over reference samples and fakes, with the protocol of every number."""
