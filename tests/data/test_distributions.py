from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from gan_lightning.data.distributions import Gaussian, GaussianMixture, grid, ring


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def scipy_log_density(distribution, x):
    """The same by scipy: a mean of multivariate normal densities."""
    if isinstance(distribution, Gaussian):
        return stats.norm(distribution.mean, distribution.std).logpdf(x[:, 0])
    variance = distribution.std**2
    modes = [stats.multivariate_normal(center, variance).logpdf(x) for center in distribution.centers.double().numpy()]
    return np.logaddexp.reduce(modes) - math.log(len(modes))


FAMILY = {
    "gaussian": lambda: Gaussian(-2, 0.5),
    "ring": ring,
    "wide ring": lambda: ring(modes=3, radius=2, std=0.7),
    "grid": grid,
    "mixture in 3-D": lambda: GaussianMixture(torch.tensor([[0.0, 1, 2], [3, -1, 0]]), 0.4),
}


@pytest.mark.parametrize("make", FAMILY.values(), ids=FAMILY)
def test_density_is_scipys(make):
    distribution = make()
    near = distribution.sample(200, rng()).double()
    x = torch.cat([near, near + 0.3 * torch.randn(near.shape, generator=rng(1), dtype=torch.float64)])
    ours = distribution.log_density(x)
    assert ours.shape == (400,) and ours.dtype == torch.float64
    assert np.allclose(ours.numpy(), scipy_log_density(distribution, x.numpy()), rtol=1e-6, atol=1e-6)
    assert torch.allclose(distribution.log_density(near.float()).double(), ours[:200], rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("make", FAMILY.values(), ids=FAMILY)
def test_samples_follow_the_density(make):
    distribution = make()
    x = distribution.sample(20_000, rng())
    assert x.shape == (20_000, distribution.dim) and x.dtype == torch.float32
    for axis in range(distribution.dim):
        # The marginal of a mixture is the mixture of the marginals.
        means = [distribution.mean] if isinstance(distribution, Gaussian) else distribution.centers[:, axis].tolist()
        cdf = lambda v, means=means: np.mean([stats.norm(m, distribution.std).cdf(v) for m in means], axis=0)  # noqa: E731
        assert stats.kstest(x[:, axis].numpy(), cdf).pvalue > 1e-3


@pytest.mark.parametrize("make", FAMILY.values(), ids=FAMILY)
def test_all_randomness_comes_from_the_generator(make):
    distribution = make()
    assert torch.equal(distribution.sample(50, rng(4)), distribution.sample(50, rng(4)))
    assert not torch.equal(distribution.sample(50, rng(4)), distribution.sample(50, rng(5)))


def test_the_density_on_the_line_integrates_to_one():
    gaussian = Gaussian(3, 0.2)
    density = lambda v: gaussian.log_density(torch.tensor([[v]], dtype=torch.float64)).exp().item()  # noqa: E731
    assert integrate.quad(density, 1, 5, points=[3])[0] == pytest.approx(1, abs=1e-7)


def test_the_modes_of_a_mixture_are_equally_likely_and_equally_wide():
    square = grid()
    x = square.sample(50_000, rng())
    distance, mode = torch.cdist(x, square.centers).min(dim=1)
    counts = torch.bincount(mode, minlength=25)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    for number in range(25):
        offsets = x[mode == number] - square.centers[number]
        assert offsets.std(dim=0).tolist() == pytest.approx([0.05, 0.05], rel=0.08)
    # The share of a 2-D Gaussian within 3 standard deviations.
    assert (distance < 3 * 0.05).float().mean().item() == pytest.approx(1 - math.exp(-4.5), abs=0.002)


def test_a_ring_of_eight_has_eight_modes():
    centers = ring().centers
    root = math.sqrt(0.5)
    by_hand = [(1, 0), (root, root), (0, 1), (-root, root), (-1, 0), (-root, -root), (0, -1), (root, -root)]
    assert torch.allclose(centers, torch.tensor(by_hand), atol=1e-6)
    assert torch.pdist(centers).min().item() == pytest.approx(2 * math.sin(math.pi / 8), rel=1e-5)


def test_the_grid_runs_from_minus_four_to_four():
    expected = {(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)}
    assert {tuple(center) for center in grid().centers.tolist()} == expected
    assert grid(side=2, spacing=3).centers.unique().tolist() == [-1.5, 1.5]


@pytest.mark.parametrize(
    ("make", "arguments", "key"),
    [
        (Gaussian, {"mean": 0, "std": 0}, "data.std"),
        (Gaussian, {"mean": "left", "std": 1}, "data.mean"),
        (Gaussian, {"mean": 0, "std": math.inf}, "data.std"),
        (ring, {"modes": 0}, "data.modes"),
        (ring, {"modes": 2.5}, "data.modes"),
        (ring, {"radius": -1}, "data.radius"),
        (ring, {"std": -0.1}, "data.std"),
        (grid, {"side": 0}, "data.side"),
        (grid, {"spacing": 0}, "data.spacing"),
        (GaussianMixture, {"centers": torch.zeros(3), "std": 1}, "centers"),
    ],
)
def test_impossible_distributions_are_refused(make, arguments, key):
    with pytest.raises(ValueError, match=key):
        make(**arguments)
