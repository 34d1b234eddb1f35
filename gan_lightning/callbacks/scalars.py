"""Losses by objective, learning rates and speed in the log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from gan_lightning.callbacks.periodic import Periodic
from gan_lightning.gan import GAN


@runtime_checkable
class HasScalars(Protocol):
    """An objective with scalars of its state for the log."""

    def scalars(self) -> Mapping[str, Tensor]:
        """Return the current scalars by name."""


class LogScalars(Periodic):
    """Logs ``player/objective``, ``lr/player``, ``images`` and ``images_per_second`` every `every` iterations.

    Scalars of objectives (`HasScalars`) are logged too, as ``objective/scalar``. Losses are those of the last step. All
    are fetched from the device together, so that logging waits for it once.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._since = (time.monotonic(), getattr(pl_module, "images", 0))

    def run(self, trainer: Trainer, gan: GAN) -> None:
        scalars = dict(gan.losses)
        for name, objective in gan.objectives.items():
            if isinstance(objective, HasScalars):
                scalars |= {f"{name}/{reading}": value for reading, value in objective.scalars().items()}
        found = torch.stack([scalar.float() for scalar in scalars.values()]).tolist()
        values = dict(zip(scalars, found, strict=True))
        for player, optimizer in zip(("generator", "discriminator"), trainer.optimizers, strict=True):
            values[f"lr/{player}"] = optimizer.param_groups[0]["lr"]
        now, (then, images) = time.monotonic(), self._since
        values["images"] = gan.images
        values["images_per_second"] = (gan.images - images) / (now - then)
        self._since = (now, gan.images)
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in values.items()})
        for logger in trainer.loggers:
            logger.log_metrics(values, step=gan.iterations)
