"""Diagnostics of training: a probe of both players, and the symptoms that it shows."""
