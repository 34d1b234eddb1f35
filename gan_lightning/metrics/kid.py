"""The kernel distance between two sets of features: with Inception's, the KID.

Binkowski et al. 2018, 'Demystifying MMD GANs', section 4.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gan_lightning.extractors.base import Extractor, full_float32
from gan_lightning.metrics.base import KeptFeatureMetric

SUBSETS, SUBSET_SIZE, SEED = 100, 1000, 2020


def cubic_kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return (x . y / dim + 1)^3 of every row of `x` (n, dim) with every row of `y` (m, dim): (n, m)."""
    return (x @ y.mT).div_(x.shape[1]).add_(1.0).pow_(3)


def squared_mmd(x: Tensor, y: Tensor) -> float:
    """Return the unbiased estimate of the squared maximum mean discrepancy of two samples under the cubic kernel.

    Args:
        x: (n, dim) of float32.
        y: (m, dim) of float32.

    Returns:
        About 0, and as often below as above, for samples of one distribution.
    """

    def within(rows: Tensor) -> Tensor:
        kernel = cubic_kernel(rows, rows)
        return (kernel.sum(dtype=torch.float64) - kernel.diagonal().sum(dtype=torch.float64)) / (
            len(rows) * (len(rows) - 1)
        )

    return (within(x) + within(y) - 2.0 * cubic_kernel(x, y).mean(dtype=torch.float64)).item()


def kernel_distance(
    fake: Tensor, real: Tensor, subsets: int = SUBSETS, subset_size: int = SUBSET_SIZE, seed: int = SEED
) -> tuple[float, float]:
    """Return `squared_mmd` of random subsets without replacement, those that torch-fidelity draws under an equal seed.

    Args:
        fake: (n, dim) of float32.
        real: (m, dim) of float32.
        subsets: how many.
        subset_size: samples of each side in a subset, at most n and m.
        seed: of the choice.

    Returns:
        Mean and standard deviation over the subsets; NaN where a feature is not finite.
    """
    if not (torch.isfinite(fake).all() and torch.isfinite(real).all()):
        return math.nan, math.nan
    rng = np.random.RandomState(seed)

    def drawn(features: Tensor) -> Tensor:
        rows = rng.choice(len(features), subset_size, replace=False)
        return features[torch.from_numpy(rows).to(features.device)]

    with full_float32(real.device):
        values = [squared_mmd(drawn(fake), drawn(real)) for _ in range(subsets)]
    return float(np.mean(values)), float(np.std(values))


class KernelDistance(KeptFeatureMetric):
    """The kernel distance of fakes from real samples in an extractor's features: with Inception's, the KID.

    It has no bias, and so hardly depends on how many samples there are: choose it where they are few. The subsets
    follow the order of the samples, which is the same on any number of ranks: each has consecutive ones, and they are
    gathered in the ranks' order. Keeps all features, in float32.

    `compute` gives `kid`, the mean over the subsets, and `kid_std`, their standard deviation. Neither is multiplied by
    a thousand, as in some tables.

    Args:
        extractor: of the features.
        subsets: how many are drawn, at least 1.
        subset_size: samples of each side in one, at least 2; fewer where there are fewer.
        seed: of the draw.
    """

    keys: ClassVar[tuple[str, ...]] = ("kid", "kid_std")

    def __init__(
        self, extractor: Extractor, subsets: int = SUBSETS, subset_size: int = SUBSET_SIZE, seed: int = SEED
    ) -> None:
        super().__init__(extractor)
        if subsets < 1 or subset_size < 2:
            raise ValueError(f"KID needs subsets of two samples or more, not {subsets} subsets of {subset_size}")
        self.subsets, self.subset_size, self.seed = subsets, subset_size, seed
        self.config = {"subsets": subsets, "subset_size": subset_size, "seed": seed}
        self.min_fakes = self.min_real = 2

    def config_for(self, num_fakes: int, num_real: int) -> dict[str, object]:
        """Return the config with the size of the subsets that so many samples allow."""
        return {**self.config, "subset_size": min(self.subset_size, num_fakes, num_real)}

    def compute(self) -> dict[str, float]:
        """Return the distance; a ValueError for fewer than two samples on a side."""
        real, fake = self.kept_features()
        size = min(self.subset_size, len(real), len(fake))
        if size < 2:
            raise ValueError(
                "KID needs two samples of each kind, "
                f"not {len(real)} real and {len(fake)} fake: raise metrics.num_fakes"
            )
        mean, deviation = kernel_distance(fake, real, self.subsets, size, self.seed)
        return {"kid": mean, "kid_std": deviation}
