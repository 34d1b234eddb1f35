"""One batch again and again, which a generator that learns at all memorizes."""

from __future__ import annotations

import logging
from itertools import repeat
from typing import Any

from lightning import Callback, LightningModule, Trainer

from gan_lightning.data.base import RealData

log = logging.getLogger(__name__)


class OneBatch(Callback):
    """Trains on the first batch of the seed alone, at every update, also when the run is resumed."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Put that batch, without end, in the place of the data's own loader."""
        data: Any = getattr(trainer, "datamodule", None)
        assert isinstance(data, RealData)
        loader = data.train_dataloader
        data.step = lambda: 0  # type: ignore[method-assign]
        data.train_dataloader = lambda: repeat(next(iter(loader())))  # type: ignore[method-assign]
        log.info(
            f"overfit      the same {data.batch_size} samples at every update: samples should become copies of them, "
            "and the metrics, which compare with all data, poor; if they do not, the generator does not learn"
        )
