"""How good the fakes are: one metric a file, all of one interface."""
