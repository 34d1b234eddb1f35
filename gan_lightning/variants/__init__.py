"""Ideas whose parts must match: a prior, a head of the discriminator and an objective that read each other."""
