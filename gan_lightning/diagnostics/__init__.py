"""How a game stands: a probe, and what its readings mean."""
