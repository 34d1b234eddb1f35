"""The losses by objective name, learning rates and speed, in the log."""

from __future__ import annotations

import time

import torch
from lightning import LightningModule, Trainer

from gan_lightning.callbacks.periodic import Periodic
from gan_lightning.gan import GAN


class Monitor(Periodic):
    """Logs ``player/objective``, ``lr/player``, ``images`` and ``images_per_second`` every `every` iterations.

    The losses are those of the last turn. They are fetched from the device together, so that logging waits for it once.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._since = (time.monotonic(), getattr(pl_module, "images", 0))

    def act(self, trainer: Trainer, gan: GAN) -> None:
        values = dict(
            zip(gan.losses, torch.stack([loss.float() for loss in gan.losses.values()]).tolist(), strict=True)
        )
        for player, optimizer in zip(("generator", "discriminator"), trainer.optimizers, strict=True):
            values[f"lr/{player}"] = optimizer.param_groups[0]["lr"]
        now, (then, images) = time.monotonic(), self._since
        values["images"] = gan.images
        values["images_per_second"] = (gan.images - images) / (now - then)
        self._since = (now, gan.images)
        for logger in trainer.loggers:
            logger.log_metrics(values, step=gan.iterations)
