"""Networks: a generator and its discriminator, one architecture family a file."""
