"""Sources of real samples, one a file, each an endless stream of `(real, labels)` batches."""
