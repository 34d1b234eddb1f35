"""TensorBoard: numbers, pictures and hyper-parameters."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from gan_lightning.utils.conf import leaves


class TensorBoard(TensorBoardLogger):
    """TensorBoard's event files in one folder of a run, with pictures, and a row in the HParams tab.

    Args:
        folder: of the event files; a resumed run adds one to it.

    Raises:
        ModuleNotFoundError: TensorBoard is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__(save_dir=str(folder), name="", version="", default_hp_metric=False)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Write `params` by dotted key, beside the monitored metric, the last one and the best, of the same run."""
        from torch.utils.tensorboard.summary import hparams

        tree = dict(params) if isinstance(params, Mapping) else vars(params)
        flat = {key: value if isinstance(value, (bool, int, float)) else str(value) for key, value in leaves(tree)}
        monitor = flat.get("settings.metrics.monitor")
        metrics = dict.fromkeys([monitor, f"{monitor}_best"] if monitor else [], 0.0)
        experiment, start, _ = hparams(flat, metrics)
        writer = self.experiment._get_file_writer()
        writer.add_summary(experiment)
        writer.add_summary(start)

    @rank_zero_only
    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Write pictures, (height, width, 3), 8 bits each."""
        for picture in images:
            self.experiment.add_image(key, picture, step, dataformats="HWC")

    def save(self) -> None:
        """Bring what was logged to the disk; the configuration is in ``config.yaml`` already."""
        if self._experiment is not None:
            self._experiment.flush()
