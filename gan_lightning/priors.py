"""p(z): what the generator is fed."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

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
