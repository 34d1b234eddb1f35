from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import norm
from torch import Tensor

from gan_lightning.data.distributions import Gaussian
from gan_lightning.metrics.one_dimensional import OneDimensional

MEAN, STD = -2.0, 0.5


def measured(values: Tensor) -> dict[str, float]:
    metric = OneDimensional(Gaussian(MEAN, STD))
    metric.update(values.unsqueeze(1), real=False)
    return metric.compute()


def perfect(count: int = 4000) -> Tensor:
    """The true quantiles themselves."""
    return torch.from_numpy(norm.ppf((np.arange(count) + 0.5) / count, MEAN, STD)).float()


def test_quantiles_are_scipys():
    levels = (np.arange(1000) + 0.5) / 1000
    np.testing.assert_allclose(
        OneDimensional(Gaussian(MEAN, STD)).quantiles(1000), norm.ppf(levels, MEAN, STD), atol=1e-6
    )


def test_quantiles_of_a_density_that_is_no_gaussian():
    """The logistic distribution, whose quantile function is m + s log(u / (1 - u))."""

    class Logistic:
        mean, std = 1.0, 0.3 * math.pi / math.sqrt(3)

        def log_density(self, x: Tensor) -> Tensor:
            z = (x.squeeze(1) - 1.0) / 0.3
            return -z - 2 * torch.nn.functional.softplus(-z) - math.log(0.3)

    levels = (np.arange(500) + 0.5) / 500
    np.testing.assert_allclose(
        OneDimensional(Logistic()).quantiles(500), 1.0 + 0.3 * np.log(levels / (1 - levels)), atol=1e-5
    )


def test_perfect_fakes_score_nothing():
    values = measured(perfect())
    assert values["wasserstein1"] < 1e-5
    assert values["jsd"] < 1e-3
    assert values["mean_error"] == pytest.approx(0, abs=1e-6)
    assert values["std_error"] == pytest.approx(0, abs=2e-3)


def test_a_shift_costs_its_length_and_shows_in_the_mean_with_its_sign():
    values = measured(perfect() - 0.25)
    assert values["wasserstein1"] == pytest.approx(0.25, abs=1e-5)
    assert values["mean_error"] == pytest.approx(-0.25, abs=1e-5)


def test_too_little_variance_costs_its_lack_and_shows_in_the_std_with_its_sign():
    """Between N(m, s²) and N(m, (s/2)²) the distance is s/2 times E|Z| = √(2/π)."""
    values = measured((perfect() - MEAN) / 2 + MEAN)
    assert values["wasserstein1"] == pytest.approx(STD / 2 * math.sqrt(2 / math.pi), rel=1e-3)
    assert values["std_error"] == pytest.approx(-STD / 2, rel=2e-3)


def test_jsd_is_scipys_over_the_documented_cells():
    values = torch.from_numpy(np.random.default_rng(0).normal(MEAN + 0.2, 2 * STD, 3000)).float()
    edges = MEAN + STD * np.linspace(-5, 5, 101)
    truth = np.diff(np.concatenate([[0.0], norm.cdf(edges, MEAN, STD), [1.0]]))
    shares = np.histogram(values, np.concatenate([[-np.inf], edges, [np.inf]]))[0] / 3000
    assert measured(values)["jsd"] == pytest.approx(jensenshannon(shares, truth) ** 2, rel=1e-4)


@pytest.mark.parametrize("place", [-1e6, 1e6])
def test_outliers_however_far_are_counted(place: float):
    values = measured(torch.full((10,), place))
    assert values["jsd"] == pytest.approx(math.log(2), abs=1e-5)
    assert values["wasserstein1"] == pytest.approx(abs(place - MEAN), rel=1e-5)


def test_chance_alone_is_as_documented():
    rng = torch.Generator().manual_seed(0)
    values = [measured(Gaussian(MEAN, STD).sample(10_000, rng).squeeze(1)) for _ in range(10)]
    assert 0.003 < np.mean([v["wasserstein1"] for v in values]) / STD < 0.02
    assert np.mean([v["jsd"] for v in values]) < 101 / 80_000


def test_real_samples_change_nothing():
    metric = OneDimensional(Gaussian(MEAN, STD))
    metric.update(perfect(10).unsqueeze(1), real=False)
    metric.update(torch.full((10, 1), 9.0), real=True)
    assert metric.compute() == measured(perfect(10))


@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 1, 28, 28)])
def test_samples_must_be_numbers(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"read samples \(batch, 1\)"):
        OneDimensional(Gaussian(MEAN, STD)).update(torch.zeros(shape), real=True)
