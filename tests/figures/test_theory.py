from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats
from torch.distributions import Normal

from gan_lightning.data import distributions
from gan_lightning.figures.theory import (
    LEAST_VALUE,
    Array,
    DensityGrid,
    best_bandwidth_cells,
    blurred,
    bounds,
    discriminator_error,
    game_value,
    least_value,
    optimal_discriminator,
    optimal_value,
)
from gan_lightning.metrics.divergence import jensen_shannon

LINE = DensityGrid((-8.0,), (9.0,), cells=1700)


def masses(mean: float, std: float) -> Array:
    return LINE.density_masses(Normal(torch.tensor(mean), torch.tensor(std)).log_prob).reshape(-1)


def floats(values: Sequence[float] | Sequence[Sequence[float]]) -> Array:
    return np.asarray(values, dtype=np.float32)


def points(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_the_optimal_discriminator_of_two_gaussians_of_one_width_is_logistic():
    """p / (p + q) = sigmoid(log p - log q), and log p - log q = 1/2 - x for N(0, 1) against N(1, 1)."""
    found = optimal_discriminator(masses(0.0, 1.0), masses(1.0, 1.0))
    seen = ~np.isnan(found)
    x = LINE.axes[0][seen]
    assert x.min() < -2.5 and x.max() > 3.5
    np.testing.assert_allclose(found[seen], 1 / (1 + np.exp(x - 0.5)), rtol=1e-4)


def test_the_optimal_discriminator_is_unknown_where_neither_density_is():
    found = optimal_discriminator(floats([0.5, 0.5, 0.004]), floats([0.5, 0.0, 0.0]))
    np.testing.assert_array_equal(found, floats([0.5, 1.0, np.nan]))


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.0, 1.0), (-0.5, 0.3)])
def test_the_optimal_value_of_gaussians_is_the_integral(mean: float, std: float):
    p, q = stats.norm(0, 1).pdf, stats.norm(mean, std).pdf

    def integrand(x: float) -> float:
        return p(x) * math.log(p(x) / (p(x) + q(x))) + q(x) * math.log(q(x) / (p(x) + q(x)))

    expected, _ = integrate.quad(integrand, -6, 6, limit=200)
    assert optimal_value(masses(0.0, 1.0), masses(mean, std)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("offset", [0.0, 0.2, -0.1])
def test_the_error_of_a_discriminator_whose_error_is_known(offset: float):
    """N(0, 1) against N(1, 1): D* = sigmoid(1/2 - x). A D that is off by a constant everywhere has that error."""
    x = np.concatenate([points(500, 1), points(500, 1, seed=1) + 1])
    best = 1 / (1 + np.exp(x[:, 0] - 0.5))
    found = discriminator_error(LINE, masses(0.0, 1.0), masses(1.0, 1.0), x, (best + offset).astype(np.float32))
    assert found == pytest.approx(abs(offset), abs=2e-3)  # cells are a hundredth wide


def test_the_error_of_a_discriminator_that_knows_nothing_is_the_integral():
    """E |1/2 - D*| over (p + q) / 2 is a quarter of the integral of |p - q|: half the total variation."""
    x = np.concatenate([points(200_000, 1), points(200_000, 1, seed=1) + 1])
    total_variation = 2 * stats.norm.cdf(0.5) - 1
    found = discriminator_error(LINE, masses(0.0, 1.0), masses(1.0, 1.0), x, np.full(len(x), 0.5, dtype=np.float32))
    assert found == pytest.approx(total_variation / 2, abs=2e-3)


def test_outside_the_lattice_there_are_only_fakes():
    outside = floats([[-100.0], [100.0], [9.0]])
    assert LINE.cells_of(outside).tolist() == [-1, -1, -1]
    probabilities = floats([0.3, 0.0, 0.9])
    assert discriminator_error(LINE, masses(0.0, 1.0), masses(1.0, 1.0), outside, probabilities) == pytest.approx(0.4)


def test_cells_are_counted_through_the_shape():
    plane = DensityGrid((0.0, 0.0), (1.0, 1.0), cells=10)
    assert plane.cells_of(floats([[0.05, 0.05], [0.05, 0.15], [0.15, 0.05], [0.5, 1.01]])).tolist() == [0, 1, 10, -1]


def test_the_optimal_value_is_twice_the_jensen_shannon_divergence_less_log_4():
    p, q = floats([0.5, 0.3, 0.2, 0.0]), floats([0.1, 0.0, 0.6, 0.3])
    expected = 2 * jensen_shannon(torch.from_numpy(p), torch.from_numpy(q)) - math.log(4)
    assert optimal_value(p, q) == pytest.approx(expected, abs=1e-6)
    assert optimal_value(p, p) == pytest.approx(LEAST_VALUE, abs=1e-6)
    assert optimal_value(floats([1, 0]), floats([0, 1])) == 0.0
    # Fakes that have left the lattice share no cell with the data.
    assert optimal_value(p, np.zeros_like(p)) == 0.0


def test_the_game_value_by_hand():
    assert game_value(torch.zeros(3), torch.zeros(5)) == pytest.approx(-math.log(4))
    assert game_value(torch.full((3,), 200.0), torch.full((3,), -200.0)) == pytest.approx(0.0)
    real, fake = torch.tensor([0.3, -1.2]), torch.tensor([0.7, 2.0, -0.1])
    expected = real.sigmoid().log().mean() + (1 - fake.sigmoid()).log().mean()
    assert game_value(real, fake) == pytest.approx(expected.item())
    assert math.isfinite(game_value(torch.full((1,), -500.0), torch.full((1,), 500.0)))


SMOOTHING = 0.3


def smoothed_value(d: float, p: float, q: float) -> float:
    """Return what a discriminator that says `d` earns at a point, with targets .7 for data and 0 for fakes."""
    return p * (0.7 * math.log(d) + 0.3 * math.log(1 - d)) + q * math.log(1 - d)


def test_with_smoothing_the_optimum_is_found_by_search():
    p, q = floats([0.5, 0.3, 0.2]), floats([0.1, 0.3, 0.6])
    found = optimal_discriminator(p, q, SMOOTHING)
    total = 0.0
    for a, b, d in zip(p, q, found, strict=True):
        best = optimize.minimize_scalar(
            lambda d, a=a, b=b: -smoothed_value(d, a, b), bounds=(1e-6, 1 - 1e-6), method="bounded"
        )
        assert d == pytest.approx(best.x, abs=1e-4)
        total -= best.fun
    assert optimal_value(p, q, SMOOTHING) == pytest.approx(total, abs=1e-6)


def test_with_smoothing_the_value_is_least_where_fakes_are_as_the_data():
    p = masses(0.0, 1.0)
    values = {mean: optimal_value(p, masses(mean, 1.0), SMOOTHING) for mean in (-0.2, 0.0, 0.2)}
    assert min(values, key=values.__getitem__) == 0.0
    assert values[0.0] == pytest.approx(least_value(SMOOTHING), abs=1e-5)
    assert least_value(0.0) == pytest.approx(LEAST_VALUE)
    # p = q: the best discriminator says .35 everywhere.
    assert least_value(SMOOTHING) == pytest.approx(smoothed_value(0.35, 1.0, 1.0))


def test_with_smoothing_the_error_is_from_the_smoothed_optimum():
    x = np.concatenate([points(500, 1), points(500, 1, seed=1) + 1])
    best = 0.7 / (1 + np.exp(x[:, 0] - 0.5))
    found = discriminator_error(LINE, masses(0.0, 1.0), masses(1.0, 1.0), x, best.astype(np.float32), SMOOTHING)
    assert found == pytest.approx(0.0, abs=2e-3)


def test_the_smoothed_game_value_is_a_cross_entropy():
    real, fake = torch.tensor([0.3, -1.2]), torch.tensor([0.7, 2.0, -0.1])
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    expected = -entropy(real, torch.full((2,), 0.7)) - entropy(fake, torch.zeros(3))
    assert game_value(real, fake, SMOOTHING) == pytest.approx(expected.item())


@pytest.mark.parametrize("axes", [1, 2])
def test_the_estimate_is_scipys_kernel_estimate(axes: int):
    samples = points(60, axes) * floats([0.5, 1.0][:axes]) + floats([1.0, -0.5][:axes])
    lattice = DensityGrid((-4.0,) * axes, (4.0,) * axes, cells=160)
    found = lattice.sample_masses(samples, bandwidth_cells=0.4 / 0.05) / lattice.cell_volume
    kernel = stats.multivariate_normal(mean=[0.0] * axes, cov=0.4**2)
    expected = np.mean([kernel.pdf(lattice.centres().numpy() - sample) for sample in samples], axis=0)
    np.testing.assert_allclose(found.reshape(-1), expected, atol=0.02 * expected.max())  # cells are a twentieth wide


def test_the_estimate_counts_what_lies_outside_as_nowhere():
    samples = floats([[0.5], [0.5], [-7.0], [np.nan]])
    assert DensityGrid((0.0,), (1.0,), cells=100).sample_masses(samples, 2.0).sum() == pytest.approx(0.5, abs=1e-4)


def test_the_masses_of_a_density_keep_the_axes_apart():
    log_density = torch.distributions.MultivariateNormal(torch.tensor([1.0, -2.0]), torch.eye(2) * 0.2).log_prob
    lattice = DensityGrid((-2.0, -5.0), (4.0, 1.0), cells=120)
    found = lattice.density_masses(log_density)
    assert found.sum() == pytest.approx(1.0, abs=1e-4)
    assert (found.sum(axis=1) * lattice.axes[0]).sum() == pytest.approx(1.0, abs=1e-3)
    assert (found.sum(axis=0) * lattice.axes[1]).sum() == pytest.approx(-2.0, abs=1e-3)


def test_blurring_keeps_mass_and_adds_variance():
    cells = np.zeros(200, dtype=np.float32)
    cells[100] = 1.0
    spread = blurred(cells, 5.0)
    assert spread.sum() == pytest.approx(1.0, abs=1e-4)
    assert math.sqrt((spread * (np.arange(200) - 100.0) ** 2).sum()) == pytest.approx(5.0, rel=0.01)


def test_the_best_bandwidth_of_one_gaussian_is_near_silvermans():
    samples = points(4000, 1)
    found = best_bandwidth_cells(LINE, masses(0.0, 1.0), samples) * 17.0 / 1700
    silverman = (4 / 3) ** 0.2 * 4000**-0.2
    assert silverman / 2 < found < silverman * 2


def test_the_best_bandwidth_does_not_blur_narrow_modes():
    ring = distributions.ring()
    samples = ring.sample(5000, torch.Generator().manual_seed(0)).numpy()
    lattice = DensityGrid((-1.5, -1.5), (1.5, 1.5), cells=512)
    density = lattice.density_masses(ring.log_density)
    width = best_bandwidth_cells(lattice, density, samples) * 3 / 512
    assert width < ring.std
    scott = samples.std() * 5000 ** (-1 / 6)
    assert scott > 10 * ring.std
    # Other samples of the same data come out as nearly perfect, which Scott's rule would call far off.
    others = ring.sample(5000, torch.Generator().manual_seed(1)).numpy()
    assert optimal_value(density, lattice.sample_masses(others, width * 512 / 3)) < LEAST_VALUE + 0.03
    assert optimal_value(density, lattice.sample_masses(others, scott * 512 / 3)) > LEAST_VALUE + 0.5


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("away", [0.0, 3.0, -1e4])
def test_the_box_shows_all_data_and_leaves_them_a_third(axes: int, away: float):
    real = points(500, axes)
    low, high = (np.array(corner) for corner in bounds(real, points(500, axes) + away))
    widths = high - low
    assert (low < real.min(axis=0)).all() and (real.max(axis=0) < high).all()
    assert np.ptp(widths) < 1e-5
    assert widths.max() <= 3 * np.ptp(real, axis=0).max() * 1.001


def test_the_box_shows_fakes_that_are_near():
    fake = points(500, 1) - 5
    (low,), _ = bounds(points(500, 1), fake)
    assert low < np.quantile(fake, 0.01)
