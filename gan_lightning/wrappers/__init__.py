"""What a discriminator can be wrapped in: it sees samples otherwise, or says more of them."""
