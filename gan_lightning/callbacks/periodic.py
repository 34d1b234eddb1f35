"""Callbacks that act every so many iterations, counted by the game and not by Lightning's `global_step`."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from gan_lightning.gan import GAN
from gan_lightning.utils.checks import check_int

log = logging.getLogger(__name__)


def as_gan(module: LightningModule) -> GAN:
    """Return `module` as a GAN; a TypeError if it is none."""
    if not isinstance(module, GAN):
        raise TypeError(f"this callback watches a GAN, not a {type(module).__name__}")
    return module


class Periodic(Callback, ABC):
    """Calls `run` after every `every`-th iteration (generator update), and once more at the end if the last was missed.

    Args:
        every: iterations between two calls, at least 1.
        at_start: also act before the first update.
    """

    def __init__(self, every: int, at_start: bool = False) -> None:
        self.every, self.at_start = check_int(f"`every` of the callback {type(self).__name__}", every), at_start
        self._acted_at: int | None = None
        self._complained = False

    @contextmanager
    def dispensable(self, path: Path) -> Iterator[None]:
        """Within, a file that cannot be written, as on a full disk, is logged once and training continues."""
        try:
            yield
        except OSError as error:
            if not self._complained:
                log.error(f"{os.path.relpath(path)} cannot be written ({error.strerror}): pictures are missing")
            self._complained = True

    @abstractmethod
    def run(self, trainer: Trainer, gan: GAN) -> None:
        """Do the work; called on every rank."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        gan = as_gan(pl_module)
        self._acted_at = gan.iterations  # a resumed run does not repeat what it did before it was stopped
        if self.at_start and gan.iterations == 0:
            self.run(trainer, gan)

    def next_iteration(self, iterations: int) -> float:
        """Return the iteration after whose end this acts next; until then it need not be called."""
        return (iterations // self.every + 1) * self.every

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        gan = as_gan(pl_module)
        if gan.iterations != self._acted_at and gan.iterations % self.every == 0:
            self._acted_at = gan.iterations
            self.run(trainer, gan)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        gan = as_gan(pl_module)
        if gan.iterations != self._acted_at:
            self._acted_at = gan.iterations
            self.run(trainer, gan)
