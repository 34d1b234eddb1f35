"""Endless batches of real samples. The batch of a step depends on the seed and the step alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from gan_lightning.data.distributions import Distribution
from gan_lightning.data.pixels import normalize
from gan_lightning.game import Batch
from gan_lightning.randomness import generator_for
from gan_lightning.utils.checks import check_int

BATCHES_PER_BLOCK = 256
"""Steps whose samples of a distribution are drawn at once: few at a time would cost more than a toy's update."""


def first_step_of_a_run() -> int:
    """Return the step at which a run from scratch begins."""
    return 0


def per_device_batch_size(batch_size: int, world_size: int) -> int:
    """Return how many samples each device takes; a ValueError if the batch cannot be shared equally."""
    if batch_size % world_size:
        near = max(1, round(batch_size / world_size)) * world_size
        raise ValueError(
            f"data.batch_size={batch_size} is the batch over all devices and cannot be shared equally among "
            f"{world_size}: choose a multiple of {world_size}, such as data.batch_size={near}"
        )
    return batch_size // world_size


class DeterministicSampler:
    """Which rows of the data this rank takes at each step.

    Every epoch is a permutation of all rows, drawn from (seed, epoch). A global batch is the next `batch_size` entries;
    where an epoch ends within a batch, the batch runs on into the next, so no row is dropped and data smaller than a
    batch will do. Ranks cut the global batch into equal, consecutive parts: any number of devices trains on the same
    batches.

    Args:
        size: rows of the data.
        batch_size: rows of the global batch, over all devices.
        seed: of the order.
        rank: this device, from 0.
        world_size: number of devices.
        device: where `indices` are wanted; the order does not depend on it.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self.size = check_int("the number of samples in the data", size)
        self.batch_size, self.seed, self.rank, self.world_size = batch_size, seed, rank, world_size
        self.share = per_device_batch_size(batch_size, world_size)
        self.device = torch.device(device)
        self._epochs: dict[int, Tensor] = {}

    def on(self, device: torch.device | str) -> DeterministicSampler:
        """Return the same order with its indices on `device`."""
        return DeterministicSampler(self.size, self.batch_size, self.seed, self.rank, self.world_size, device)

    def indices(self, step: int) -> Tensor:
        """Return the rows that this rank takes at `step`, (batch_size / world_size,) of int64. Not to be written to."""
        epoch, start = divmod(step * self.batch_size + self.rank * self.share, self.size)
        rows = self._epoch(epoch)[start : start + self.share]
        if len(rows) == self.share:
            return rows
        parts, missing = [rows], self.share - len(rows)
        while missing > 0:
            epoch += 1
            parts.append(self._epoch(epoch)[:missing])
            missing -= len(parts[-1])
        return torch.cat(parts)

    def _epoch(self, epoch: int) -> Tensor:
        # Two are kept: the one in use, and the one before it, for a batch that began in it.
        if epoch not in self._epochs:
            while len(self._epochs) > 1:
                del self._epochs[next(iter(self._epochs))]
            # Drawn on the CPU, whose numbers are the same beside every accelerator.
            rng = generator_for(self.seed, "order", epoch)
            self._epochs[epoch] = torch.randperm(self.size, generator=rng).to(self.device)
        return self._epochs[epoch]


class InMemoryLoader:
    """Endless batches gathered from data that is already on the device: no workers, nothing done image by image.

    Args:
        samples: uint8 images, (size, channels, height, width), which become float32 in [-1, 1]; or float32 rows, which
            stay as they are.
        labels: classes, (size,) of int64, or None.
        order: which rows to take.
        device: where batches are wanted; everything is moved there once.
        first_step: returns the step to begin at; called whenever iteration begins.
    """

    def __init__(
        self,
        samples: Tensor,
        labels: Tensor | None,
        order: DeterministicSampler,
        device: torch.device | str,
        first_step: Callable[[], int] = first_step_of_a_run,
    ) -> None:
        self.samples = samples.to(device)
        self.labels = None if labels is None else labels.to(device)
        self.order, self.first_step = order.on(device), first_step
        self.channels_last = samples.ndim == 4 and samples.shape[1] > 1
        if self.channels_last:
            # Stored as (size, height, width, channels), so that a batch is made of whole runs of memory.
            self.samples = self.samples.permute(0, 2, 3, 1).contiguous()

    def __iter__(self) -> Iterator[Batch]:
        step = self.first_step()
        while True:
            rows = self.order.indices(step)
            # index_select and not [rows]: it copies rows whole, and is several times faster on a CPU.
            real = self.samples.index_select(0, rows)
            if self.channels_last:
                real = real.permute(0, 3, 1, 2)
            if real.dtype == torch.uint8:
                real = normalize(real)
            yield real, None if self.labels is None else self.labels.index_select(0, rows)
            step += 1


class StreamLoader:
    """Endless fresh samples of a distribution; those of a step are a function of (seed, step).

    Args:
        distribution: what to sample.
        batch_size: samples of the global batch, over all devices.
        seed: of the samples.
        device: where batches are wanted; the numbers do not depend on it.
        rank: this device, from 0.
        world_size: number of devices.
        first_step: returns the step to begin at; called whenever iteration begins.
    """

    def __init__(
        self,
        distribution: Distribution,
        batch_size: int,
        seed: int,
        device: torch.device | str,
        rank: int = 0,
        world_size: int = 1,
        first_step: Callable[[], int] = first_step_of_a_run,
    ) -> None:
        share = per_device_batch_size(batch_size, world_size)
        self.distribution, self.batch_size, self.seed, self.device = distribution, batch_size, seed, device
        self.mine = slice(rank * share, (rank + 1) * share)
        self.first_step = first_step

    def __iter__(self) -> Iterator[Batch]:
        step = self.first_step()
        while True:
            block, first = divmod(step, BATCHES_PER_BLOCK)
            batches = self.block(block)
            for within in range(first, BATCHES_PER_BLOCK):
                yield batches[within], None
            step = (block + 1) * BATCHES_PER_BLOCK

    def block(self, block: int) -> Tensor:
        """Return the batches of the steps from ``block * BATCHES_PER_BLOCK`` on, (steps, batch, dim)."""
        rng = generator_for(self.seed, "data", block)
        samples = self.distribution.sample(BATCHES_PER_BLOCK * self.batch_size, rng)
        batches = samples.view(BATCHES_PER_BLOCK, self.batch_size, self.distribution.dim)
        return batches[:, self.mine].to(self.device).contiguous()
