"""What looks at images for the metrics: networks that turn them into features."""
