"""One- or two-dimensional data of known density, and the GAN's state at one iteration, for figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from gan_lightning.figures.theory import (
    Array,
    Box,
    DensityGrid,
    best_bandwidth_cells,
    discriminator_error,
    optimal_value,
)


@dataclass(frozen=True)
class Snapshot:
    """The GAN's state at one iteration.

    Attributes:
        iteration: generator updates made.
        samples: points of the generator that is trained, (count, 1 or 2).
        scores: the discriminator's logits at the scene's `points`; None where it does not score single points.
        game_value: V(D, G) in nats; None there too, and where the discriminator is a critic.
        optimal_value: C(G) in nats, estimated.
        discriminator_error: mean |D - D*| over data and fakes, estimated; None where there is no V(D, G).
    """

    iteration: int
    samples: Array
    scores: Array | None
    game_value: float | None
    optimal_value: float
    discriminator_error: float | None = None


class Scene:
    """The data and the grids that all figures of one run share.

    Args:
        real: samples of the data, (count, 1 or 2).
        box: corners of the part of space that is shown, see `bounds`.
        log_density: log p of the data at points (n, 1 or 2).
        critic: the discriminator's output is a score, and its sigmoid is not a probability.
        smoothing: of the labels of data, in [0, 1): D*, C(G) and the error are those of the smoothed game.

    Attributes:
        lattice: of the estimates, fine enough for the narrow modes of the usual mixtures.
        density: the data's probability in each of its cells.
        points: the grid at whose cell centres the discriminator is evaluated.
        bandwidth_cells: width of the kernel of all density estimates.
        data_value: C(G) of as many samples of the data, estimated likewise: the value of a perfect generator.
    """

    def __init__(
        self,
        real: Array,
        box: Box,
        log_density: Callable[[Tensor], Tensor],
        critic: bool,
        smoothing: float = 0.0,
    ) -> None:
        axes = real.shape[1]
        if axes not in (1, 2):
            raise ValueError(
                f"densities are drawn in 1 or 2 dimensions, the data have {axes}: set callbacks.density=null"
            )
        self.real, self.critic, self.smoothing = real, critic, smoothing
        low, high = box
        self.lattice = DensityGrid(low, high, cells=1024 if axes == 1 else 512)
        self.points = DensityGrid(low, high, cells=512 if axes == 1 else 64)
        self.density = self.lattice.density_masses(log_density)
        self.bandwidth_cells = best_bandwidth_cells(self.lattice, self.density, real)
        self.data_value = self.optimal_value(real)

    def estimate(self, samples: Array) -> Array:
        """Return the probability of each cell of the lattice, estimated from `samples`."""
        return self.lattice.sample_masses(samples, self.bandwidth_cells)

    def optimal_value(self, samples: Array) -> float:
        """Return C(G) of the generator that made `samples`."""
        return optimal_value(self.density, self.estimate(samples), self.smoothing)

    def discriminator_error(self, samples: Array, real_probabilities: Array, fake_probabilities: Array) -> float:
        """Return the mean |D - D*| over the mixture of data and fakes, from D of `real` and of `samples`."""
        points, probabilities = (
            np.concatenate([self.real, samples]),
            np.concatenate([real_probabilities, fake_probabilities]),
        )
        fake = self.estimate(samples)
        return discriminator_error(self.lattice, self.density, fake, points, probabilities, self.smoothing)
