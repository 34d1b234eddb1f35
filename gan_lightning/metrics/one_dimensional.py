"""Samples on the line against a distribution that is known."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from gan_lightning.metrics.base import SampleMetric, concatenated
from gan_lightning.metrics.divergence import jensen_shannon


class Density(Protocol):
    """A distribution of one number."""

    @property
    def mean(self) -> float:
        """Return the mean."""

    @property
    def std(self) -> float:
        """Return the standard deviation."""

    def log_density(self, x: Tensor) -> Tensor:
        """Return the natural logarithm of the density, (count,), at `x` of (count, 1)."""


# In standard deviations of the truth.
TABULATED = 12.0
BINNED = 5.0
BIN = 0.1


class OneDimensional(SampleMetric):
    """The difference of the distribution of generated numbers from the true one.

    `compute` gives

    - `wasserstein1`: mean distance of the sorted fakes from the true quantiles at (i - 1/2)/n, in the data's units.
      With 10 000 perfect fakes of a Gaussian it is about .01 standard deviations.
    - `jsd`: Jensen-Shannon divergence in nats, in [0, log 2], between the shares of fakes and the true probabilities of
      102 cells: 100 bins, each a tenth of the true standard deviation wide, about the true mean, and everything below
      and everything above them. It is a lower bound of the densities' divergence, plus about 101/(8n) from chance.
    - `mean_error`, `std_error`: generated minus true, so a negative `std_error` says that the fakes vary too little.

    Args:
        distribution: the truth. Its density is tabulated to 12 standard deviations on either side of its mean.
    """

    keys = ("wasserstein1", "jsd", "mean_error", "std_error")

    fake_values: list[Tensor]

    def __init__(self, distribution: Density) -> None:
        super().__init__()
        self.distribution = distribution
        mean, std = distribution.mean, distribution.std
        self.config = {"distribution": type(distribution).__name__, "mean": mean, "std": std}
        self.min_fakes = 2
        self._grid = torch.linspace(mean - TABULATED * std, mean + TABULATED * std, 48_001, dtype=torch.float64)
        density = distribution.log_density(self._grid.unsqueeze(1)).exp()
        cumulative = torch.nn.functional.pad(torch.cumulative_trapezoid(density, self._grid), (1, 0))
        self._cumulative = cumulative / cumulative[-1]
        bins = round(2.0 * BINNED / BIN)
        self._edges = torch.linspace(mean - BINNED * std, mean + BINNED * std, bins + 1, dtype=torch.float64)
        self.add_list_state("fake_values")

    def accumulate(self, samples: Tensor, real: bool) -> None:
        """Take fakes (batch, 1). Real samples are passed over: the truth is known."""
        if samples.ndim != 2 or samples.shape[1] != 1:
            raise ValueError(f"the metrics of the line read samples (batch, 1), not {tuple(samples.shape)}")
        if not real:
            self.fake_values.append(samples.squeeze(1))

    def compute(self) -> dict[str, float]:
        values = concatenated(self.fake_values).double().cpu().sort().values
        if len(values) < 2:
            raise ValueError(f"the metrics of the line need two fakes, not {len(values)}: raise metrics.num_fakes")
        return {
            "wasserstein1": (values - self.quantiles(len(values))).abs().mean().item(),
            "jsd": jensen_shannon(self.shares(values), self.probabilities()),
            "mean_error": values.mean().item() - self.distribution.mean,
            "std_error": values.std().item() - self.distribution.std,
        }

    def quantiles(self, count: int) -> Tensor:
        """Return the true quantiles at (i - 1/2)/count for i = 1 ... count, (count,) of float64."""
        levels = (np.arange(count) + 0.5) / count
        return torch.from_numpy(np.interp(levels, self._cumulative.numpy(), self._grid.numpy()))

    def shares(self, values: Tensor) -> Tensor:
        """Return the share of `values` (n,) in each cell, (cells,)."""
        return torch.bincount(torch.bucketize(values, self._edges), minlength=len(self._edges) + 1) / len(values)

    def probabilities(self) -> Tensor:
        """Return the true probability of each cell, (cells,) of float64."""
        below = torch.from_numpy(np.interp(self._edges.numpy(), self._grid.numpy(), self._cumulative.numpy()))
        ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
        return torch.cat([ends[:1], below, ends[1:]]).diff()
