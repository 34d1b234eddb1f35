"""Training images flipped left to right at random."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch

from gan_lightning.game import Batch
from gan_lightning.randomness import generator_for


class Mirrored:
    """Batches of which half of the images are flipped, drawn anew from (seed, step) for each row of the global batch.

    Args:
        batches: endless, of float32 images (batch, channels, height, width), which are written to.
        batch_size: images of the global batch, over all devices.
        seed: of the flips.
        first_step: returns the step to begin at; called whenever iteration begins.
        rank: this device, from 0.
        world_size: number of devices.
    """

    def __init__(
        self,
        batches: Iterable[Batch],
        batch_size: int,
        seed: int,
        first_step: Callable[[], int],
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.batches, self.batch_size, self.seed, self.first_step = batches, batch_size, seed, first_step
        share = batch_size // world_size
        self.mine = slice(rank * share, (rank + 1) * share)

    def __iter__(self) -> Iterator[Batch]:
        for step, (real, labels) in enumerate(self.batches, self.first_step()):
            # Drawn on the CPU, whose numbers are the same beside every accelerator.
            draw = torch.rand(self.batch_size, generator=generator_for(self.seed, "mirror", step))[self.mine]
            rows = (draw < 0.5).nonzero().squeeze(1).to(real.device)
            real[rows] = real[rows].flip(-1)
            yield real, labels
