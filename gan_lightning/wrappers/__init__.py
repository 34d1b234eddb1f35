"""Wrappers of a discriminator, which transform its samples or add heads to it."""
