"""How numbers come about: metrics over reference samples and fakes, with their protocol."""
