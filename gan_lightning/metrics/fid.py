"""The Frechet distance between two sets of features, each seen as a Gaussian.

Heusel et al. 2017, 'GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium', equation 6.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from gan_lightning.extractors.base import Extractor, Features
from gan_lightning.metrics.base import FeatureMetric


def factor(covariance: Tensor) -> Tensor:
    """Return a matrix L with L L^T = covariance, (dim, dim) of float64; full of NaN where one is not finite."""
    if not torch.isfinite(covariance).all():
        return torch.full_like(covariance, math.nan)
    triangle, failed = torch.linalg.cholesky_ex(covariance)
    if not failed:
        return triangle
    # Singular up to rounding, as with fewer samples than features: the slower symmetric root always exists.
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp_min(0.0).sqrt()) @ vectors.mT


def frechet_distance(
    mean_a: Tensor, covariance_a: Tensor, mean_b: Tensor, covariance_b: Tensor, factor_a: Tensor | None = None
) -> float:
    """Return |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), the squared 2-Wasserstein distance of two Gaussians.

    C_a C_b has the eigenvalues of the symmetric L^T C_b L with L L^T = C_a, so its root's trace needs symmetric
    eigenvalues only: they are real, and stay so when there are fewer samples than features and both matrices are
    singular, where the root of the product itself is ill-conditioned.

    Args:
        mean_a: of the first Gaussian, (dim,) of float64.
        covariance_a: (dim, dim) of float64, symmetric and positive semi-definite up to rounding.
        mean_b: of the second.
        covariance_b: likewise.
        factor_a: `factor(covariance_a)` where it is known already.

    Returns:
        The distance, 0 for equal moments; NaN where a moment is not finite, as after a generator has diverged.
    """
    difference = mean_a - mean_b
    if not all(torch.isfinite(part).all() for part in (difference, covariance_a, covariance_b)):
        return math.nan
    factor_a = factor(covariance_a) if factor_a is None else factor_a
    product = torch.linalg.eigvalsh(factor_a.mT @ covariance_b @ factor_a)
    trace = covariance_a.trace() + covariance_b.trace() - 2.0 * product.clamp_min(0.0).sqrt().sum()
    # Rounding can leave equal moments a hair below zero.
    return max(0.0, (difference.square().sum() + trace).item())


def moments(count: Tensor, total: Tensor, outer: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean (dim,) and unbiased covariance (dim, dim), from the count, the sum and the sum of outer products."""
    mean = total / count
    return mean, (outer - count * torch.outer(mean, mean)) / (count - 1)


class FrechetDistance(FeatureMetric):
    """The Frechet distance of fakes from real samples in an extractor's features: with Inception's, the FID.

    Keeps sums, sums of outer products and counts, all of them exact over ranks and batches, in float64; and a factor of
    the real covariance, which is found once. The distance falls with the number of fakes, and of real samples: compare
    two only at equal numbers.

    `compute` gives `fid`.

    Args:
        extractor: of the features.
    """

    keys: ClassVar[tuple[str, ...]] = ("fid",)

    real_count: Tensor
    real_sum: Tensor
    real_outer: Tensor
    fake_count: Tensor
    fake_sum: Tensor
    fake_outer: Tensor

    def __init__(self, extractor: Extractor) -> None:
        super().__init__(extractor)
        dim = extractor.dim
        self.min_fakes = self.min_real = 2
        self._real_factor: tuple[int, Tensor] | None = None
        for kind in ("real", "fake"):
            self.add_state(f"{kind}_count", torch.tensor(0), dist_reduce_fx="sum")
            self.add_state(f"{kind}_sum", torch.zeros(dim, dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state(f"{kind}_outer", torch.zeros(dim, dim, dtype=torch.float64), dist_reduce_fx="sum")

    def caveat(self, num_fakes: int, num_real: int) -> str | None:
        """Return that a covariance is rank-deficient: of n samples it has rank n - 1 at most."""
        fewest, dim = min(num_fakes, num_real), self.extractor.dim
        if fewest > dim:
            return None
        return (
            f"fid: {fewest} samples are too few for {dim} features: the covariance is rank-deficient, and the distance "
            f"too large, to be compared under equal numbers alone: use at least {dim + 1} fakes and real samples, "
            "or kid, which has no bias"
        )

    def accumulate_features(self, features: Features, real: bool) -> None:
        if not len(features.features):
            return
        vectors, kind = features.features.double(), "real" if real else "fake"
        count, total, outer = (getattr(self, f"{kind}_{name}") for name in ("count", "sum", "outer"))
        count += len(vectors)
        total += vectors.sum(dim=0)
        outer += vectors.mT @ vectors

    def compute(self) -> dict[str, float]:
        """Return the distance; a ValueError for fewer than two samples on a side, which have no covariance."""
        if self.real_count < 2 or self.fake_count < 2:
            raise ValueError(
                "a Frechet distance needs two samples of each kind, "
                f"not {int(self.real_count)} real and {int(self.fake_count)} fake: raise metrics.num_fakes"
            )
        mean, covariance = moments(self.real_count, self.real_sum, self.real_outer)
        count = int(self.real_count)
        if self._real_factor is None or self._real_factor[0] != count:
            self._real_factor = count, factor(covariance)
        fake = moments(self.fake_count, self.fake_sum, self.fake_outer)
        return {"fid": frechet_distance(mean, covariance, *fake, factor_a=self._real_factor[1])}
