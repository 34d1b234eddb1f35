"""Samples of known distributions: small, fast, and exactly evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from gan_lightning.data import distributions
from gan_lightning.data.base import Loader, RealData, rank_slice
from gan_lightning.data.distributions import Distribution
from gan_lightning.data.loader import DeterministicSampler, InMemoryLoader, StreamLoader
from gan_lightning.game import Batch
from gan_lightning.randomness import generator_for
from gan_lightning.utils.checks import check_int


class ToyData(RealData):
    """Samples of a distribution, without labels.

    Args:
        distribution: where samples come from; metrics and pictures read it too.
        shape: (distribution.dim,).
        batch_size: samples of one step over all devices.
        seed: of the samples trained on. The samples that metrics compare with do not depend on it.
        train_size: train on so many samples, drawn once, in epochs; None draws fresh ones without end.
        reference_size: how many samples metrics compare with.
        num_classes, value_range: None; a toy has neither.
    """

    def __init__(
        self,
        distribution: Distribution,
        *,
        shape: Sequence[int],
        batch_size: int,
        seed: int,
        train_size: int | None = None,
        reference_size: int = 10_000,
        num_classes: None = None,
        value_range: None = None,
    ) -> None:
        super().__init__(
            shape=shape, num_classes=num_classes, value_range=value_range, batch_size=batch_size, seed=seed
        )
        if self.shape != (distribution.dim,):
            raise ValueError(f"data.shape must be [{distribution.dim}], the distribution's, not {list(self.shape)}")
        self.distribution = distribution
        self.train_size = None if train_size is None else check_int("data.train_size", train_size)
        self._reference_size = check_int("data.reference_size", reference_size)

    def train_dataloader(self) -> Loader:
        """Return endless batches, from the step that the run has reached."""
        device, rank, world_size = self.placement()
        if self.train_size is None:
            return StreamLoader(self.distribution, self.batch_size, self.seed, device, rank, world_size, self.step)
        samples = self.distribution.sample(self.train_size, generator_for(self.seed, "train"))
        order = DeterministicSampler(self.train_size, self.batch_size, self.seed, rank, world_size)
        return InMemoryLoader(samples, None, order, device, self.step)

    @property
    def training_size(self) -> int | None:
        return self.train_size

    @property
    def reference_size(self) -> int:
        return self._reference_size

    def labelled_reference_batches(
        self, device: torch.device | str, rank: int = 0, world_size: int = 1, batch_size: int = 500
    ) -> Iterator[Batch]:
        samples = self.distribution.sample(self.reference_size, generator_for("reference"))
        mine = rank_slice(self.reference_size, rank, world_size)
        for batch in samples[mine.start : mine.stop].to(device).split(batch_size):
            yield batch, None


def gaussian(mean: float, std: float, **toy: Any) -> ToyData:
    """Return N(mean, std²) on the line; `toy` are the further arguments of `ToyData`."""
    return ToyData(distributions.Gaussian(mean, std), **toy)


def ring(modes: int, radius: float, std: float, **toy: Any) -> ToyData:
    """Return `distributions.ring`; `toy` are the further arguments of `ToyData`."""
    return ToyData(distributions.ring(modes, radius, std), **toy)


def grid(side: int, spacing: float, std: float, **toy: Any) -> ToyData:
    """Return `distributions.grid`; `toy` are the further arguments of `ToyData`."""
    return ToyData(distributions.grid(side, spacing, std), **toy)
