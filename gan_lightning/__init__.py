"""gan_lightning: train, compare and judge generative adversarial networks."""

__version__ = "0.1.0"
