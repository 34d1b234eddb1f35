"""What knows nothing of GANs: files, checks, errors, ranks that wait for each other."""
