"""The optimum of a GAN whose data density is known, estimated on a grid of cells.

Goodfellow et al. 2014, "Generative Adversarial Nets", section 4.1: against data p and a generator of density q the best
discriminator is D*(x) = p(x) / (p(x) + q(x)) (equation 2), and the game played against it has the value
C(G) = E_p log D* + E_q log(1 - D*) = 2 JSD(p, q) - log 4 (equation 6), least, at -log 4, when q = p.

With one-sided label smoothing s the discriminator maximises E_p[(1 - s) log D + s log(1 - D)] + E_q log(1 - D). Then
D* = (1 - s) p / (p + q) (Salimans et al. 2016, section 3.4 with beta = 0), and the game against it is still worth least
when q = p, since its value is the mean under p of a convex function of q / p. Without smoothing all is as above.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import rel_entr
from torch import Tensor
from torch.nn.functional import softplus

Array = NDArray[np.float32]
"""Points, (count, dim), or a number for each cell of a grid."""

LEAST_VALUE = -math.log(4)
"""C(G) of a perfect generator, without label smoothing."""


def least_value(smoothing: float = 0.0) -> float:
    """Return C(G) of a perfect generator, in nats: (1 - s) log((1 - s) / 2) + (1 + s) log((1 + s) / 2)."""
    return sum(share * math.log(share / 2) for share in (1 - smoothing, 1 + smoothing))


@dataclass(frozen=True)
class DensityGrid:
    """A box cut into equal cells.

    Attributes:
        low, high: corners of the box, one coordinate an axis.
        cells: cells along each axis.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    cells: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.cells,) * len(self.low)

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def axes(self) -> list[Array]:
        """Return the cells' centres along each axis, (cells,)."""
        middles = (np.arange(self.cells) + 0.5) / self.cells
        bounds = zip(self.low, self.high, strict=True)
        return [(low + (high - low) * middles).astype(np.float32) for low, high in bounds]

    @property
    def cell_volume(self) -> float:
        return math.prod((high - low) / self.cells for low, high in zip(self.low, self.high, strict=True))

    def centres(self) -> Tensor:
        """Return all cells' centres, (cells ** axes, axes), the last axis fastest."""
        mesh = np.meshgrid(*self.axes, indexing="ij")
        return torch.from_numpy(np.stack(mesh, axis=-1).reshape(-1, len(self.low)))

    def density_masses(self, log_density: Callable[[Tensor], Tensor]) -> Array:
        """Return the probability of each cell under `log_density`, by the midpoint rule, of `shape`."""
        masses: Array = (log_density(self.centres()).double().exp() * self.cell_volume).float().numpy()
        return masses.reshape(self.shape)

    def sample_masses(self, samples: Array, bandwidth_cells: float) -> Array:
        """Return a Gaussian kernel estimate of each cell's probability, of `shape`, from `samples`, (count, axes).

        Samples are counted into cells and the counts are blurred by a standard deviation of `bandwidth_cells`.
        Probability outside the box is left out: the masses then sum to less than 1.
        """
        flat = self.cells_of(samples)
        shares = np.bincount(flat[flat >= 0], minlength=self.count) / len(samples)
        return blurred(shares.astype(np.float32).reshape(self.shape), bandwidth_cells)

    def cells_of(self, samples: Array) -> NDArray[np.int64]:
        """Return the flat index of the cell in which each of `samples` (count, axes) lies; -1 outside the box."""
        low, high = np.array(self.low), np.array(self.high)
        cells = np.floor((samples - low) / (high - low) * self.cells)
        inside = ((cells >= 0) & (cells < self.cells)).all(axis=1)
        found = np.full(len(samples), -1)
        found[inside] = np.ravel_multi_index(tuple(cells[inside].astype(np.int64).T), self.shape)
        return found


def blurred(masses: Array, bandwidth_cells: float) -> Array:
    """Return the masses convolved with a Gaussian of that standard deviation."""
    spread: Array = gaussian_filter(masses, bandwidth_cells, mode="constant")
    return spread


Box = tuple[tuple[float, ...], tuple[float, ...]]
"""The lowest and the highest corner of a part of space."""


def bounds(real: Array, fake: Array) -> Box:
    """Return the corners of a cube that holds all of `real`, and of `fake` what leaves `real` a third of the width."""
    low, high = real.min(axis=0), real.max(axis=0)
    width = (high - low).max()
    near, far = np.quantile(fake, [0.005, 0.995], axis=0)
    low = np.clip(near - 0.1 * width, low - width, low - 0.25 * width)
    high = np.clip(far + 0.1 * width, high + 0.25 * width, high + width)
    middle, half = (low + high) / 2, (high - low).max() / 2
    return tuple((middle - half).tolist()), tuple((middle + half).tolist())


def best_bandwidth_cells(lattice: DensityGrid, density: Array, samples: Array) -> float:
    """Return the kernel width, in cells, whose estimate from `samples` is nearest to the known density, by C(G).

    A rule of thumb follows the spread of all samples, and would blur narrow modes that are far apart.
    """
    widths = [0.5 * 2 ** (step / 2) for step in range(14)]
    return min(widths, key=lambda width: optimal_value(density, lattice.sample_masses(samples, width)))


def optimal_discriminator(real: Array, fake: Array, smoothing: float = 0.0, least: float = 0.01) -> Array:
    """Return D* in each cell from the cells' masses; NaN where both together are below `least` of the data's peak.

    There hardly any sample falls, and the estimate would be noise.
    """
    both = real + fake
    seen = both > least * real.max()
    return np.divide((1 - smoothing) * real, both, out=np.full_like(both, np.nan), where=seen)


def discriminator_error(
    lattice: DensityGrid, real: Array, fake: Array, points: Array, probabilities: Array, smoothing: float = 0.0
) -> float:
    """Return the mean of |D - D*| over `points`; over (p + q) / 2 where half of them are data and half are fakes.

    Args:
        lattice: of the estimates.
        real: p, the mass of each of its cells.
        fake: q, likewise.
        points: samples, (count, axes). D* is 0 at those outside the lattice, where only fakes go.
        probabilities: D of them, (count,), in [0, 1].
        smoothing: s, of the labels of data.
    """
    both = real + fake
    best = np.divide((1 - smoothing) * real, both, out=np.zeros_like(both), where=both > 0).reshape(-1)
    cells = lattice.cells_of(points)
    return float(np.abs(probabilities - np.where(cells >= 0, best[cells], 0)).mean(dtype=np.float64))


def optimal_value(real: Array, fake: Array, smoothing: float = 0.0) -> float:
    """Return C(G), in nats, at least `least_value(smoothing)`, from the cells' masses.

    Cells outside the lattice count as if only one of the two went there, which is right wherever `real` is all inside.
    """
    both = real + fake
    called_real, called_fake = (1 - smoothing) * real, smoothing * real + fake
    return float(rel_entr(called_real, both).sum(dtype=np.float64) + rel_entr(called_fake, both).sum(dtype=np.float64))


def game_value(real_logits: Tensor, fake_logits: Tensor, smoothing: float = 0.0) -> float:
    """Return V(D, G) = E log D(x) + E log(1 - D(G(z))), in nats (equation 1), from the logits of D; at most 0.

    With `smoothing` s the first term is E[(1 - s) log D(x) + s log(1 - D(x))].
    """
    of_real = (1 - smoothing) * softplus(-real_logits) + smoothing * softplus(real_logits)
    return -float(of_real.mean() + softplus(fake_logits).mean())
