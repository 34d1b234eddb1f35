"""What real samples are: one source a file, all of them endless streams of `(real, labels)` batches."""
