"""Distributions whose density is known, so that a generator can be compared with the truth."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from gan_lightning.utils.checks import check_finite, check_int, check_positive


class Distribution(ABC):
    """A distribution over `dim` real numbers.

    Attributes:
        dim: length of one sample.
    """

    dim: int

    @abstractmethod
    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        """Return `count` samples, (count, dim) of float32 on the device of `rng`, a function of `rng` alone."""

    @abstractmethod
    def log_density(self, x: Tensor) -> Tensor:
        """Return the natural logarithm of the density at each row of `x` (count, dim): (count,) of the type of `x`."""


class Gaussian(Distribution):
    """N(mean, std²) on the line.

    Args:
        mean: of the distribution.
        std: its standard deviation, above 0.
    """

    dim = 1

    def __init__(self, mean: float, std: float) -> None:
        self.mean, self.std = check_finite("data.mean", mean), check_positive("data.std", std)

    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        """Return (count, 1)."""
        return torch.randn(count, 1, generator=rng, device=rng.device).mul_(self.std).add_(self.mean)

    def log_density(self, x: Tensor) -> Tensor:
        """Return (count,) for `x` of (count, 1)."""
        return _log_normal(x - self.mean, self.std)


class GaussianMixture(Distribution):
    """Equally likely Gaussians of one width in every direction: the modes that a generator may miss.

    Args:
        centers: means of the modes, (modes, dim).
        std: standard deviation of each mode in each direction, above 0.
    """

    def __init__(self, centers: Tensor, std: float) -> None:
        if centers.ndim != 2 or not len(centers):
            raise ValueError(f"centers must be (modes, dim) with one mode or more, not of shape {tuple(centers.shape)}")
        self.centers, self.std = centers.float(), check_positive("data.std", std)
        self.dim = centers.shape[1]

    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        """Return (count, dim): for each sample a mode is chosen, then a point about its centre."""
        modes = torch.randint(len(self.centers), (count,), generator=rng, device=rng.device)
        noise = torch.randn(count, self.dim, generator=rng, device=rng.device)
        return noise.mul_(self.std).add_(self.centers.to(rng.device)[modes])

    def log_density(self, x: Tensor) -> Tensor:
        """Return (count,) for `x` of (count, dim); in memory (count, modes, dim)."""
        offsets = x.unsqueeze(1) - self.centers.to(x)
        return _log_normal(offsets, self.std).logsumexp(dim=1) - math.log(len(self.centers))


def _log_normal(offsets: Tensor, std: float) -> Tensor:
    """Return the logarithm of N(offsets; 0, std² I) over the last axis."""
    normalizer = offsets.shape[-1] * (math.log(std) + 0.5 * math.log(2 * math.pi))
    return -0.5 * (offsets / std).square().sum(-1) - normalizer


def ring(modes: int = 8, radius: float = 1.0, std: float = 0.01) -> GaussianMixture:
    """Return modes at equal distances on a circle about 0, the first at angle 0.

    The defaults are the ring of Lin et al. 2018, "PacGAN", section 4.1.
    """
    # Over `modes` and not `modes - 1`: angle 2π is angle 0, and would make two modes one.
    angles = torch.arange(check_int("data.modes", modes), dtype=torch.float64) * (2 * math.pi / modes)
    return GaussianMixture(
        check_positive("data.radius", radius) * torch.stack((angles.cos(), angles.sin()), dim=1), std
    )


def grid(side: int = 5, spacing: float = 2.0, std: float = 0.05) -> GaussianMixture:
    """Return a square of side × side modes, `spacing` apart, about 0: from -4 to 4 by default.

    The defaults are the grid of Lin et al. 2018, "PacGAN", section 4.1.
    """
    steps = torch.arange(check_int("data.side", side), dtype=torch.float64) - (side - 1) / 2
    return GaussianMixture(check_positive("data.spacing", spacing) * torch.cartesian_prod(steps, steps), std)
