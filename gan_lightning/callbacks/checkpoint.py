"""Checkpoints: the last state, and the state at the best evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer

from gan_lightning.callbacks.evaluation import Evaluation
from gan_lightning.callbacks.periodic import Periodic
from gan_lightning.gan import GAN


class Checkpoint(Periodic):
    """Saves ``last.ckpt`` every `every` iterations and at the end, ``best.ckpt`` when an evaluation was the best yet.

    Each file is written aside and renamed, so that a run that is stopped while saving keeps the file before.

    Args:
        every: iterations between two saves of `last`.
        directory: where the files go.
    """

    def __init__(self, every: int, directory: str | Path) -> None:
        super().__init__(every)
        self.directory = Path(directory)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        self._keep_best(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        self._keep_best(trainer)

    def act(self, trainer: Trainer, gan: GAN) -> None:
        self._save(trainer, "last")

    def _keep_best(self, trainer: Trainer) -> None:
        for evaluation in (part for part in getattr(trainer, "callbacks", []) if isinstance(part, Evaluation)):
            if evaluation.improved:
                evaluation.improved = False
                self._save(trainer, "best")

    def _save(self, trainer: Trainer, name: str) -> None:
        aside = self.directory / f"{name}.ckpt.part"
        trainer.save_checkpoint(aside)
        if trainer.is_global_zero:
            aside.replace(self.directory / f"{name}.ckpt")
