"""One batch again and again, which a generator that learns at all memorizes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from lightning import Callback, LightningModule, Trainer

from gan_lightning.data.base import Loader, RealData
from gan_lightning.game import Batch

log = logging.getLogger(__name__)


class OneBatch(Callback):
    """Trains on the first batch of the seed alone, at every update, also when the run is resumed."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Put a loader of that batch in the place of the data's own."""
        data: Any = getattr(trainer, "datamodule", None)
        assert isinstance(data, RealData)
        loader = data.train_dataloader
        data.step = lambda: 0  # type: ignore[method-assign]
        data.train_dataloader = lambda: Repeated(loader())  # type: ignore[method-assign]
        log.info(
            f"overfit      the same {data.batch_size} samples at every update: samples should become copies of them, "
            "and the metrics, which compare with all data, poor; if they do not, the generator does not learn"
        )


class Repeated:
    """The first batch of a loader, endlessly.

    Args:
        loader: of batches.
    """

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[Batch]:
        batch = next(iter(self.loader))
        while True:
            yield batch
