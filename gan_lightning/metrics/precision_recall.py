"""Precision and recall, density and coverage: the share of fakes among the data and of data among the fakes.

Kynkaanniemi et al. 2019, 'Improved Precision and Recall Metric for Assessing Generative Models', section 2, and
Naeem et al. 2020, 'Reliable Fidelity and Diversity Metrics for Generative Models', section 3.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from gan_lightning.extractors.base import Extractor, full_float32
from gan_lightning.metrics.base import KeptFeatureMetric

ROWS = 2048  # of a block of distances, and columns: 16 MiB, whatever the number of samples


def radii(features: Tensor, neighbour: int) -> Tensor:
    """Return the distance of each sample to its k-th nearest neighbour among the others.

    A block of distances serves the neighbours of its rows and of its columns, so that half of them is computed.

    Args:
        features: (n, dim) of float32, all finite.
        neighbour: k, at most n - 1.

    Returns:
        (n,). With k + 1 equal samples or more, theirs is 0, up to the rounding of `torch.cdist`.
    """
    # Each is its own nearest, at distance 0: one more is kept than is needed.
    nearest = features.new_full((len(features), neighbour + 1), math.inf)
    blocks = torch.arange(len(features), device=features.device).split(ROWS)
    with full_float32(features.device):
        for i, rows in enumerate(blocks):
            for columns in blocks[i:]:
                distances = torch.cdist(features[rows], features[columns])
                nearest[rows] = smallest(distances, nearest[rows])
                if columns is not rows:
                    nearest[columns] = smallest(distances.mT.contiguous(), nearest[columns])
    return nearest[:, -1]


def smallest(distances: Tensor, nearest: Tensor) -> Tensor:
    """Return the k smallest of each row of both, (n, m) and (n, k), in order."""
    k = nearest.shape[1]
    among = distances.topk(min(k, distances.shape[1]), largest=False).values
    return torch.cat([among, nearest], dim=1).topk(k, largest=False).values


def precision_recall(fake: Tensor, real: Tensor, fake_radii: Tensor, real_radii: Tensor) -> tuple[float, float]:
    """Return the share of fakes in a real sample's ball, and of real samples in a fake's ball.

    Args:
        fake: (n, dim) of float32.
        real: (m, dim) of float32.
        fake_radii: of the balls, which include their surface, (n,).
        real_radii: likewise, (m,).
    """
    fake_inside = torch.zeros(len(fake), dtype=torch.bool, device=fake.device)
    real_inside = torch.zeros(len(real), dtype=torch.bool, device=fake.device)
    with full_float32(real.device):
        for i in range(0, len(fake), ROWS):
            for j in range(0, len(real), ROWS):
                rows, columns = slice(i, i + ROWS), slice(j, j + ROWS)
                distances = torch.cdist(fake[rows], real[columns])
                fake_inside[rows] |= (distances <= real_radii[columns]).any(dim=1)
                real_inside[columns] |= (distances <= fake_radii[rows, None]).any(dim=0)
    return fake_inside.double().mean().item(), real_inside.double().mean().item()


def density_coverage(fake: Tensor, real: Tensor, real_radii: Tensor, neighbour: int) -> tuple[float, float]:
    """Return the mean number of real samples' balls around a fake over k, and the share of balls with a fake in them.

    Args:
        fake: (n, dim) of float32.
        real: (m, dim) of float32.
        real_radii: of the balls, which leave their surface out as in the authors' code, (m,).
        neighbour: k.
    """
    balls = torch.tensor(0, device=fake.device)
    reached = torch.zeros(len(real), dtype=torch.bool, device=fake.device)
    with full_float32(real.device):
        for i in range(0, len(fake), ROWS):
            for j in range(0, len(real), ROWS):
                columns = slice(j, j + ROWS)
                inside = torch.cdist(fake[i : i + ROWS], real[columns]) < real_radii[columns]
                balls += inside.sum()
                reached[columns] |= inside.any(dim=0)
    return balls.item() / (neighbour * len(fake)), reached.double().mean().item()


class Manifold(KeptFeatureMetric, ABC):
    """A metric by balls around samples that reach to their k-th nearest neighbour among their like.

    Keeps all features, in float32. The real radii are found once.

    Args:
        extractor: of the features.
        neighbour: k, at least 1.
    """

    def __init__(self, extractor: Extractor, neighbour: int) -> None:
        super().__init__(extractor)
        if neighbour < 1:
            name = " and ".join(self.keys)
            raise ValueError(f"{name} need at least the 1st nearest neighbour, not number {neighbour}")
        self.neighbour = neighbour
        self.config = {"k": neighbour}
        self.min_fakes = self.min_real = neighbour + 1
        self._real_radii: Tensor | None = None

    def compute(self) -> dict[str, float]:
        """Return the numbers, NaN where a feature is not finite; a ValueError for k or fewer samples on a side."""
        real, fake = self.kept_features()
        if min(len(real), len(fake)) <= self.neighbour:
            raise ValueError(
                f"{' and '.join(self.keys)} with k={self.neighbour} need {self.neighbour + 1} samples of each kind, "
                f"not {len(real)} real and {len(fake)} fake: raise metrics.num_fakes"
            )
        if not (torch.isfinite(real).all() and torch.isfinite(fake).all()):
            return dict.fromkeys(self.keys, math.nan)
        if self._real_radii is None or len(self._real_radii) != len(real):
            self._real_radii = radii(real, self.neighbour)
        return dict(zip(self.keys, self.compare(fake, real, self._real_radii), strict=True))

    @abstractmethod
    def compare(self, fake: Tensor, real: Tensor, real_radii: Tensor) -> tuple[float, float]:
        """Return the numbers named in `keys`, of features (n, dim) and (m, dim) and real radii (m,)."""


class PrecisionRecall(Manifold):
    """Improved precision and recall: quality and variety of the fakes, apart.

    `compute` gives `precision`, the share of fakes that lie among the data, and `recall`, the share of the data that
    lie among the fakes, both in [0, 1]. A generator that makes one good image has precision 1 and recall near 0. One
    real outlier makes a large ball, and so raises precision: density does not suffer from it.

    Args:
        extractor: of the features.
        neighbour: k; the paper has 3.
    """

    keys: ClassVar[tuple[str, ...]] = ("precision", "recall")

    def __init__(self, extractor: Extractor, neighbour: int = 3) -> None:
        super().__init__(extractor, neighbour)

    def compare(self, fake: Tensor, real: Tensor, real_radii: Tensor) -> tuple[float, float]:
        return precision_recall(fake, real, radii(fake, self.neighbour), real_radii)


class DensityCoverage(Manifold):
    """Density and coverage: as precision and recall, without their trust in outliers.

    `compute` gives `density`, about 1 where fakes are spread as the data and above where they keep to its dense parts,
    and `coverage`, the share of real samples with a fake nearby, in [0, 1]. Of the same distribution and as many fakes
    as data, coverage is expected to be 1 - 2^-k, .97 with k = 5.

    Args:
        extractor: of the features.
        neighbour: k; the paper has 5.
    """

    keys: ClassVar[tuple[str, ...]] = ("density", "coverage")

    def __init__(self, extractor: Extractor, neighbour: int = 5) -> None:
        super().__init__(extractor, neighbour)

    def compare(self, fake: Tensor, real: Tensor, real_radii: Tensor) -> tuple[float, float]:
        return density_coverage(fake, real, real_radii, self.neighbour)
