"""Further objectives that stand beside any adversarial loss."""
