"""Samples of a trained generator: latents in, images out, files written."""
