"""Loggers: metrics.csv, Weights & Biases, TensorBoard, MLflow."""

from gan_lightning.loggers.metrics_csv import MetricsCSV, read_table, write_table
from gan_lightning.loggers.weights_and_biases import WandB

__all__ = ["MetricsCSV", "WandB", "read_table", "write_table"]
