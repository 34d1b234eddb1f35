"""Several runs as one thing: their jobs, a search, statistics over seeds, a report."""
