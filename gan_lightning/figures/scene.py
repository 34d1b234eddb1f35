"""One- or two-dimensional data of known density, and the GAN's state at one iteration, for figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_lightning.figures.theory import (
    Array,
    Box,
    DensityGrid,
    best_bandwidth_cells,
    discriminator_error,
    optimal_value,
)

KEPT_SAMPLES = 2500
"""Of a snapshot in an animation."""

DAMAGED = "the checkpoint cannot be restored, give another ckpt_path: the state of callbacks.density is damaged"


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

    def compact(self) -> Snapshot:
        """Return it as `state` keeps it: at most `KEPT_SAMPLES`, and arrays rounded to half precision."""
        return Snapshot(**{name: from_half(value) for name, value in self.state().items()})

    def state(self) -> dict[str, Any]:
        """Return plain values and float16 tensors, for a checkpoint."""
        kept = replace(self, samples=self.samples[:KEPT_SAMPLES])
        return {field.name: to_half(getattr(kept, field.name)) for field in fields(kept)}


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

    def restored(self, state: object) -> Snapshot:
        """Return the snapshot of this scene whose `state` a checkpoint holds; a ValueError if it is damaged."""
        kinds = {
            "iteration": lambda part: isinstance(part, int),
            "samples": lambda part: is_table(part, self.real.shape[1:]) and 0 < len(part) <= KEPT_SAMPLES,
            "scores": lambda part: part is None or (is_table(part, ()) and len(part) == self.points.count),
            "game_value": lambda part: part is None or isinstance(part, float),
            "optimal_value": lambda part: isinstance(part, float),
            "discriminator_error": lambda part: part is None or isinstance(part, float),
        }
        if not isinstance(state, dict) or state.keys() != kinds.keys():
            raise ValueError(f"{DAMAGED}: a frame is no snapshot")
        if damaged := [name for name, is_whole in kinds.items() if not is_whole(state[name])]:
            raise ValueError(f"{DAMAGED}: {damaged[0]} of a frame")
        return Snapshot(**{name: from_half(value) for name, value in state.items()})

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


def to_half(value: object) -> Any:
    """Return an array as a float16 tensor, and any other value as it is."""
    return torch.from_numpy(value).half() if isinstance(value, np.ndarray) else value


def from_half(value: object) -> Any:
    """Return a tensor as a float32 array, and any other value as it is."""
    return value.float().numpy() if isinstance(value, Tensor) else value


def is_table(value: object, row: Sequence[int]) -> bool:
    """Return whether `value` is a floating-point tensor of rows of that shape."""
    return isinstance(value, Tensor) and value.is_floating_point() and value.ndim > 0 and value.shape[1:] == tuple(row)
