"""Adversarial losses: the term that makes a run a GAN."""
