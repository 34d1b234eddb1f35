from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.plain_extractor import Plain
from scipy.linalg import sqrtm
from torch import Tensor

from gan_lightning.metrics import fid as frechet
from gan_lightning.metrics.fid import FrechetDistance, factor, frechet_distance, moments


def random_moments(dim: int, samples: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and covariance of `samples` random vectors, and the centred, scaled vectors A with covariance A^T A."""
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dim, dim, generator=rng, dtype=torch.float64)
    x = torch.randn(samples, dim, generator=rng, dtype=torch.float64) @ mixing + 3 * seed
    centred = (x - x.mean(dim=0)) / math.sqrt(samples - 1)
    return x.mean(dim=0), centred.T @ centred, centred


def test_equals_the_formula_with_scipys_matrix_square_root():
    (mean_a, a, _), (mean_b, b, _) = random_moments(12, 100, 0), random_moments(12, 100, 1)
    root = sqrtm((a @ b).numpy())
    expected = (mean_a - mean_b).square().sum().item() + np.trace(a.numpy() + b.numpy() - 2 * root.real)
    assert frechet_distance(mean_a, a, mean_b, b) == pytest.approx(expected, rel=1e-10)


def test_equals_the_closed_form_of_independent_coordinates():
    """Sum over coordinates of (m - m')² + (s - s')²."""
    mean_a, mean_b = torch.tensor([0.0, 1.0, 2.0]).double(), torch.tensor([1.0, 1.0, -2.0]).double()
    std_a, std_b = torch.tensor([1.0, 2.0, 0.0]).double(), torch.tensor([3.0, 2.0, 0.5]).double()
    distance = frechet_distance(mean_a, std_a.square().diag(), mean_b, std_b.square().diag())
    assert distance == pytest.approx(1 + 16 + 4 + 0.25, rel=1e-12)


def test_is_exact_with_fewer_samples_than_features():
    """tr (C_a C_b)^(1/2) is the sum of singular values of A B^T where C = A^T A, whatever the ranks."""
    (mean_a, a, root_a), (mean_b, b, root_b) = random_moments(40, 15, 0), random_moments(40, 9, 1)
    nuclear = torch.linalg.svdvals(root_a @ root_b.T).sum()
    expected = ((mean_a - mean_b).square().sum() + a.trace() + b.trace() - 2 * nuclear).item()
    assert frechet_distance(mean_a, a, mean_b, b) == pytest.approx(expected, rel=1e-7)


def test_is_zero_for_equal_moments_and_symmetric():
    (mean_a, a, _), (mean_b, b, _) = random_moments(12, 100, 0), random_moments(12, 100, 1)
    assert 0 <= frechet_distance(mean_a, a, mean_a, a) < 1e-9 * a.trace()
    assert frechet_distance(mean_a, a, mean_b, b) == pytest.approx(frechet_distance(mean_b, b, mean_a, a), rel=1e-9)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_is_nan_for_moments_that_are_not_finite(bad: float):
    mean, covariance, _ = random_moments(3, 10, 0)
    assert math.isnan(frechet_distance(mean * bad, covariance, mean, covariance))
    assert math.isnan(frechet_distance(mean, covariance, mean, covariance * bad))


def test_moments_are_numpys():
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 + 5
    mean, covariance = moments(torch.tensor(50), x.sum(dim=0), x.T @ x)
    np.testing.assert_allclose(mean, x.mean(dim=0))
    np.testing.assert_allclose(covariance, np.cov(x.numpy(), rowvar=False), rtol=1e-9)


def test_a_small_spread_far_from_zero_is_not_lost_to_rounding():
    """In float32 sums, a mean of 1000 would swamp a variance of 1."""
    x = torch.randn(400, 1, generator=torch.Generator().manual_seed(0)) + 1000
    metric = FrechetDistance(Plain(1))
    metric.update(x, real=True)
    metric.update(2000 - x, real=False)
    expected = (2 * x.double().mean() - 2000).square().item()  # mirrored at 1000: the variances are equal
    assert metric.compute()["fid"] == pytest.approx(expected, rel=1e-5)


def test_one_sample_has_no_covariance():
    metric = FrechetDistance(Plain(3))
    metric.update(torch.zeros(5, 3), real=True)
    metric.update(torch.zeros(1, 3), real=False)
    with pytest.raises(ValueError, match=r"5 real and 1 fake: raise metrics\.num_fakes"):
        metric.compute()


@pytest.mark.parametrize("samples", [100, 9])
def test_a_factor_gives_the_covariance_back_with_fewer_samples_than_features_too(samples: int):
    _, covariance, _ = random_moments(30, samples, 0)
    found = factor(covariance)
    torch.testing.assert_close(found @ found.T, covariance, rtol=1e-9, atol=1e-9)
    assert factor(covariance * math.nan).isnan().all()


def test_equals_scipys_at_a_few_hundred_features():
    (mean_a, a, _), (mean_b, b, _) = random_moments(300, 900, 0), random_moments(300, 800, 1)
    product = sqrtm((a @ b).numpy()).real
    expected = (mean_a - mean_b).square().sum().item() + np.trace(a.numpy() + b.numpy() - 2 * product)
    assert frechet_distance(mean_a, a, mean_b, b) == pytest.approx(expected, rel=1e-6)


def test_samples_of_known_gaussians_are_at_their_distance():
    """Of independent coordinates: the sum of (m - m')² + (s - s')²."""
    rng = torch.Generator().manual_seed(0)
    mean, std = torch.tensor([1.0, 0.0, -2.0]), torch.tensor([1.0, 3.0, 0.5])
    metric = FrechetDistance(Plain(3))
    metric.update(torch.randn(200_000, 3, generator=rng), real=True)
    metric.update(torch.randn(200_000, 3, generator=rng) * std + mean, real=False)
    assert metric.compute()["fid"] == pytest.approx(1 + 4 + 4 + 0.25, rel=0.01)


@pytest.mark.parametrize(("fakes", "real", "deficient"), [(5, 100, True), (100, 5, True), (6, 6, False)])
def test_a_covariance_without_full_rank_is_told(fakes: int, real: int, deficient: bool):
    few = torch.randn(min(fakes, real), 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert (torch.linalg.matrix_rank(few.T.cov()) < 5) == deficient
    caveat = FrechetDistance(Plain(5)).caveat(fakes, real)
    assert (caveat is not None) == deficient
    assert caveat is None or "5 samples are too few for 5 features: the covariance is rank-deficient" in caveat


def test_the_real_factor_is_found_once_and_anew_for_new_samples(monkeypatch: pytest.MonkeyPatch):
    rng = torch.Generator().manual_seed(0)
    real, more, fake = (torch.randn(50, 5, generator=rng) * scale for scale in (1, 2, 3))
    found: list[int] = []

    def counted(covariance: Tensor) -> Tensor:
        found.append(1)
        return factor(covariance)

    monkeypatch.setattr(frechet, "factor", counted)
    metric = FrechetDistance(Plain(5))
    metric.update(real, real=True)
    for _ in range(3):
        metric.reset()
        metric.update(fake, real=False)
        metric.compute()
    assert len(found) == 1
    metric.update(more, real=True)
    fresh = FrechetDistance(Plain(5))
    fresh.update(torch.cat([real, more]), real=True)
    fresh.update(fake, real=False)
    assert metric.compute() == pytest.approx(fresh.compute(), rel=1e-9)
    assert len(found) == 3
