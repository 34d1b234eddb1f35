"""Metrics of fakes: one in each file, all with one interface."""
