"""p(z): what the generator is fed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import ceil, sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gan_lightning.game import Latent


class Prior(nn.Module, ABC):
    """A distribution of latents.

    Args:
        dim: length of the noise vector z.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"prior.dim must be at least 1, not {dim}")
        self.dim = dim

    def sample(self, count: int, rng: torch.Generator) -> Latent:
        """`count` latents on the device of `rng`, all of whose randomness comes from `rng`."""
        return Latent(self.noise(count, rng))

    def grid(self, count: int, rng: torch.Generator) -> tuple[Latent, int]:
        """About `count` latents for a picture, row by row, and how many of them stand in a row.

        Here: `count` samples, as near to a square as whole rows allow. A prior that knows what its latents mean
        arranges them by it: a class in each row, say.
        """
        return self.sample(count, rng), ceil(sqrt(count))

    @abstractmethod
    def noise(self, count: int, rng: torch.Generator) -> Tensor:
        """The noise z, (count, dim) of float32, on the device of `rng`."""


class Gaussian(Prior):
    """z ~ N(0, I)."""

    def noise(self, count: int, rng: torch.Generator) -> Tensor:
        return torch.randn(count, self.dim, generator=rng, device=rng.device)


class Uniform(Prior):
    """z ~ U(low, high), each coordinate by itself."""

    def __init__(self, dim: int, low: float = -1.0, high: float = 1.0) -> None:
        super().__init__(dim)
        if not low < high:
            raise ValueError(f"prior.low must be below prior.high, not {low} and {high}")
        self.low, self.high = low, high

    def noise(self, count: int, rng: torch.Generator) -> Tensor:
        return torch.empty(count, self.dim, device=rng.device).uniform_(self.low, self.high, generator=rng)


class ClassConditional(Prior):
    """Noise and a class for each sample, every class equally likely; for generators that are told what to make.

    Args:
        dim: length of z: that of the noise, for a generator that reads `Latent.labels`; or that plus the number of
            classes, and z then ends with the class, one-hot, which any generator can be fed (Mirza and Osindero 2014).
        noise: where the noise comes from.
        num_classes: how many classes there are; None where the data have none.

    Raises:
        ValueError: there are no classes, or `dim` is neither of the two.
    """

    def __init__(self, dim: int, noise: Prior, num_classes: int | None) -> None:
        super().__init__(dim)
        if not num_classes:
            raise ValueError("these data have no classes to ask for: choose data with classes, such as data=mnist10k")
        if dim not in (noise.dim, noise.dim + num_classes):
            raise ValueError(
                f"prior.dim must be that of the noise, {noise.dim}, or with the class {noise.dim + num_classes}, "
                f"not {dim}"
            )
        self.source, self.num_classes = noise, num_classes

    def sample(self, count: int, rng: torch.Generator) -> Latent:
        """`count` latents, the classes drawn after the noise."""
        noise = self.noise(count, rng)
        return self.from_classes(noise, torch.randint(self.num_classes, (count,), generator=rng, device=rng.device))

    def noise(self, count: int, rng: torch.Generator) -> Tensor:
        """The noise alone, (count, noise.dim) of float32."""
        return self.source.noise(count, rng)

    def from_classes(self, noise: Tensor, labels: Tensor) -> Latent:
        """The latents of `noise` (batch, noise.dim) that ask for the classes `labels` (batch,)."""
        if self.dim == self.source.dim:
            return Latent(noise, labels=labels)
        return Latent(torch.cat([noise, one_hot(labels, self.num_classes).to(noise)], dim=1), labels=labels)

    def grid(self, count: int, rng: torch.Generator) -> tuple[Latent, int]:
        """A class in each row and the same noise down each column; a row a class also where `count` is smaller."""
        columns = max(1, count // self.num_classes)
        noise = self.noise(columns, rng).repeat(self.num_classes, 1)
        labels = torch.arange(self.num_classes, device=rng.device).repeat_interleave(columns)
        return self.from_classes(noise, labels), columns
