"""Adversarial losses, one family a file."""
