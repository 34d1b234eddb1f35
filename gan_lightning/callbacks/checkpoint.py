"""Checkpoints: the last state, and the state at the best evaluation."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch import callbacks as lightning_callbacks

from gan_lightning.callbacks.evaluation import Evaluation
from gan_lightning.callbacks.periodic import Periodic, as_gan
from gan_lightning.data.decode import UnreadableImageError
from gan_lightning.diagnostics.finite import not_finite
from gan_lightning.gan import GAN
from gan_lightning.utils.checksum import KEY, structure_digest
from gan_lightning.utils.files import UNFINISHED, atomic_write

log = logging.getLogger(__name__)


class NotSavedError(OSError):
    """A checkpoint could not be written, or was not worth it; the one before is still there."""


class Checkpoint(Periodic, lightning_callbacks.Checkpoint):
    """Saves ``last.ckpt`` every `every` iterations and at the end, ``best.ckpt`` when an evaluation was the best yet.

    Lightning calls a callback of its `Checkpoint` kind after all others, so that what they did at an iteration is on
    the disk before the checkpoint from which the run resumes.

    Each file is written aside, brought to the disk and renamed, so that a run that is stopped while saving keeps the
    file before. A state whose weights are not all finite is not saved, and the file before stays as well. The first
    save that fails during training, or fails after one that did not, is a line in the log; the next one may succeed.
    Every rank holds the whole state, so rank 0 saves alone.

    Args:
        every: iterations between two saves of `last`.
        directory: where the files go.

    Raises:
        NotSavedError: at the end of training, when the last state could not be saved.
    """

    def __init__(self, every: int, directory: str | Path) -> None:
        super().__init__(every)
        self.directory = Path(directory)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove what a run that was killed while saving has left behind."""
        super().on_train_start(trainer, pl_module)
        if trainer.is_global_zero:
            for file in self.directory.glob(f"*.ckpt*{UNFINISHED}"):
                file.unlink()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        gan = as_gan(pl_module)
        if gan.iterations >= gan.max_iterations:
            return  # other callbacks have yet to act, at the end of training
        self._keep_best(trainer)
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save what was trained until an image cannot be read, which is between two steps: the state is whole."""
        gan = as_gan(pl_module)
        if isinstance(exception, UnreadableImageError) and gan.discriminator_updates and not gan.state.within_step:
            self.run(trainer, gan)

    def run(self, trainer: Trainer, gan: GAN) -> None:
        try:
            self.save(trainer)
            self._complained = False
        except NotSavedError as error:
            self._complain(error)

    def _complain(self, error: NotSavedError) -> None:
        if not self._complained:
            log.error(str(error))
        self._complained = True

    def save(self, trainer: Trainer) -> None:
        """Save ``last.ckpt`` now, before it ``best.ckpt`` where that is due, and what the loggers hold back.

        Raises a `NotSavedError` where ``last.ckpt`` cannot be written.
        """
        for logger in trainer.loggers:
            logger.save()  # a run that resumes here finds what was logged until here
        # First the best: `last` knows the best number so far, and a run that is killed between the two would not again
        # save the state that had it.
        self._keep_best(trainer)
        self._write(trainer, "last")

    def _keep_best(self, trainer: Trainer) -> None:
        for evaluation in (part for part in getattr(trainer, "callbacks", []) if isinstance(part, Evaluation)):
            if evaluation.improved:
                evaluation.improved = False
                try:
                    self._write(trainer, "best")
                except NotSavedError as error:
                    self._complain(error)

    def _write(self, trainer: Trainer, name: str) -> None:
        if not trainer.is_global_zero:
            return
        path = self.directory / f"{name}.ckpt"
        before = "the one before is still there" if path.exists() else "there is none from before"
        if (diverged := not_finite(as_gan(trainer.lightning_module))) is not None:
            raise NotSavedError(f"{os.path.relpath(path)} was not saved, as {diverged} is not finite: {before}")
        try:
            # Through a file of Python's: PyTorch's own does not tell why it cannot be written.
            with atomic_write(path, durable=True) as unfinished, unfinished.open("wb") as file:
                content = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
                torch.save({**content, KEY: structure_digest(content)}, file)
        except (OSError, RuntimeError) as error:
            raise NotSavedError(f"{os.path.relpath(path)} could not be saved ({reason(error)}): {before}") from error


def reason(error: BaseException) -> str:
    """Return why writing failed, in a few words: the system's, which PyTorch wraps in its own."""
    while not isinstance(error, OSError) and error.__context__ is not None:
        error = error.__context__
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).splitlines()[0]
