"""Images of two domains without pairs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from gan_lightning.data.base import RealData, rank_slice
from gan_lightning.data.image_data import Images, fingerprint_of
from gan_lightning.data.loader import DeterministicSampler, InMemoryLoader
from gan_lightning.data.pixels import normalize
from gan_lightning.game import Batch
from gan_lightning.randomness import seed_of


class Domains(NamedTuple):
    """The images of domain A and those of domain B: of one size, as many as there are of each."""

    a: Images
    b: Images


class UnpairedImages(RealData):
    """Pairs of an image of domain A and one of domain B that have nothing to do with each other, held in memory.

    A sample is both in one tensor, (2 * channels, size, size): first the channels of the image of A, then those of the
    image of B. A source defines `read`.

    Args:
        shape: of a sample.
        num_classes: must be None, for a pair has no class.
        value_range: must be (-1, 1).
        batch_size: pairs of one step over all devices.
        seed: of the order of the images, in each domain another.
    """

    def __init__(
        self, *, shape: Sequence[int], num_classes: None, value_range: Sequence[float], batch_size: int, seed: int
    ) -> None:
        super().__init__(shape=shape, num_classes=None, value_range=value_range, batch_size=batch_size, seed=seed)
        if num_classes is not None:
            raise ValueError(f"data.num_classes must be null, for a pair of images has no class, not {num_classes!r}")
        if self.value_range != (-1, 1):
            raise ValueError(f"data.value_range must be [-1, 1] for images, the range of tanh, not {value_range!r}")
        if len(self.shape) != 3 or self.shape[0] % 2:
            raise ValueError(
                f"data.shape must be [2 * channels, height, width] for images of two domains, not {list(self.shape)}"
            )
        self._domains: Domains | None = None

    @abstractmethod
    def read(self) -> Domains:
        """Return the training images of both domains, (count, channels, height, width) of uint8 each."""

    def setup(self, stage: str) -> None:
        """Read the images, so that errors in them are raised before training starts."""
        if stage == "fit":
            self.domains()

    def domains(self) -> Domains:
        """Return the training images of both domains, on the CPU; a ValueError if they do not fit `shape`."""
        if self._domains is None:
            read = self.read()
            half = (self.shape[0] // 2, *self.shape[1:])
            for pixels, _ in read:
                if tuple(pixels.shape[1:]) != half:
                    raise ValueError(f"data.shape={list(self.shape)}, but an image has shape {list(pixels.shape[1:])}")
            self._domains = read
        return self._domains

    def train_dataloader(self) -> PairLoader:
        """Return endless batches of pairs, from the step that the run has reached."""
        device, rank, world_size = self.placement()
        loaders = [
            InMemoryLoader(
                pixels,
                None,
                DeterministicSampler(len(pixels), self.batch_size, seed_of(self.seed, domain), rank, world_size),
                device,
                self.step,
            )
            for domain, (pixels, _) in zip(("a", "b"), self.domains(), strict=True)
        ]
        return PairLoader(*loaders)

    @property
    def training_size(self) -> int:
        """Return the number of images in the larger domain."""
        return self.reference_size

    @property
    def reference_size(self) -> int:
        """Return the number of images in the larger domain."""
        return max(len(images.pixels) for images in self.domains())

    def labelled_reference_batches(
        self, device: torch.device | str, rank: int = 0, world_size: int = 1, batch_size: int = 500
    ) -> Iterator[Batch]:
        """See `RealData`. The images of each domain in their order; the smaller domain begins anew where it ends."""
        mine = rank_slice(self.reference_size, rank, world_size)
        for rows in torch.arange(mine.start, mine.stop).split(batch_size):
            pairs = [normalize(pixels[rows % len(pixels)].to(device)) for pixels, _ in self.domains()]
            yield torch.cat(pairs, dim=1), None

    def fingerprint(self, train: bool | None = None) -> str | None:
        return fingerprint_of(*self.domains())


class PairLoader:
    """Endless batches of pairs: each domain in an order of its own.

    Args:
        a: batches of domain A.
        b: batches of domain B, as large.
    """

    def __init__(self, a: InMemoryLoader, b: InMemoryLoader) -> None:
        self.a, self.b = a, b

    def __iter__(self) -> Iterator[Batch]:
        for (a, _), (b, _) in zip(self.a, self.b, strict=True):
            yield torch.cat([a, b], dim=1), None
