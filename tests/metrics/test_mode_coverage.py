from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2, entropy, truncnorm
from torch import Tensor

from gan_lightning.data.distributions import GaussianMixture, grid, ring
from gan_lightning.metrics.mode_coverage import MixtureQuality, chi_square_cdf, width_before_cut


def quality(distribution: GaussianMixture, samples: Tensor) -> dict[str, float]:
    metric = MixtureQuality(distribution)
    metric.update(samples, real=False)
    return metric.compute()


TRIANGLE = GaussianMixture(torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]), std=1.0)


@pytest.mark.parametrize("truth", [ring(), grid()], ids=["ring", "grid"])
def test_the_truth_scores_as_theory_says(truth: GaussianMixture):
    values = quality(truth, truth.sample(200_000, torch.Generator().manual_seed(0)))
    assert values["modes"] == len(truth.centers)
    assert values["high_quality"] == pytest.approx(1 - math.exp(-4.5), abs=0.001)
    assert values["sigma_ratio"] == pytest.approx(1.0, abs=0.005)
    assert values["reverse_kl"] < 2e-4 and values["reverse_kl_all"] < 2e-4
    assert values["jsd"] < 5e-5 and values["jsd_all"] < 5e-5


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("width", [0.3, 0.8, 1.3])
def test_widths_are_measured_in_spite_of_the_cut(dim: int, width: float):
    truth = GaussianMixture(torch.zeros(1, dim), std=0.1)
    samples = torch.randn(200_000, dim, generator=torch.Generator().manual_seed(0)) * 0.1 * width
    assert quality(truth, samples)["sigma_ratio"] == pytest.approx(width, rel=0.02)


def test_the_cut_is_scipys_truncated_normal_on_the_line():
    widths = np.array([0.2, 1.0, 2.0])
    variances = torch.tensor([truncnorm(-3 / s, 3 / s, scale=s).var() for s in widths])
    np.testing.assert_allclose(width_before_cut(variances, dim=1), widths, rtol=1e-5)


def test_widths_end_at_nothing_and_at_the_cut():
    assert width_before_cut(torch.tensor([0.0, 100.0]), dim=2).tolist() == [0.0, 3.0]


def test_a_hand_made_case():
    """Six near the first mode, two far from it yet nearest to it, two near the second, none at the third."""
    near_first = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1], [0, 0], [0, 0]])
    far = torch.tensor([[0.0, -3.1], [-40, 0]])
    near_second = torch.tensor([[10.5, 0.0], [9.5, 0]])
    values = quality(TRIANGLE, torch.cat([near_first, far, near_second]))
    assert values["modes"] == 2.0
    assert values["high_quality"] == pytest.approx(0.8)
    # Of the eight near samples six are at the first mode; of all ten, eight.
    assert values["reverse_kl"] == pytest.approx(entropy([0.75, 0.25, 0.0], [1 / 3] * 3))
    assert values["reverse_kl_all"] == pytest.approx(entropy([0.8, 0.2, 0.0], [1 / 3] * 3))
    assert values["jsd"] == pytest.approx(jensenshannon([0.75, 0.25, 0.0], [1 / 3] * 3) ** 2)
    # Variances in a direction: 4/(2·5) and .5/(2·1).
    widths = width_before_cut(torch.tensor([0.4, 0.25]), dim=2)
    assert values["sigma_ratio"] == pytest.approx(widths.mean().item())
    within = chi2.cdf(9, 2) / 3
    truth, cells = [within, within, within, 1 - 3 * within], [0.6, 0.2, 0, 0.2]
    assert values["jsd_all"] == pytest.approx(jensenshannon(cells, truth) ** 2)


def test_a_sample_within_three_standard_deviations_makes_a_mode():
    assert quality(TRIANGLE, torch.tensor([[12.9, 0.0]]))["modes"] == 1.0
    assert quality(TRIANGLE, torch.tensor([[13.1, 0.0]]))["modes"] == 0.0


def test_a_collapse_to_points_away_from_the_centres_is_narrow():
    values = quality(TRIANGLE, (TRIANGLE.centers + 1.0).repeat(50, 1))
    assert values["modes"] == 3.0
    assert values["sigma_ratio"] == pytest.approx(0.0, abs=1e-6)
    assert values["reverse_kl"] == pytest.approx(0.0, abs=1e-12)


def test_nothing_near_any_mode():
    values = quality(TRIANGLE, torch.full((20, 2), 100.0) + torch.randn(20, 2))
    assert (values["modes"], values["high_quality"], values["sigma_ratio"]) == (0.0, 0.0, 0.0)
    assert values["reverse_kl"] == pytest.approx(math.log(3)) and values["jsd"] == pytest.approx(math.log(2))
    assert math.log(2) * 0.9 < values["jsd_all"] <= math.log(2)


def test_bad_samples_count_in_the_numbers_of_all_alone():
    """A hundred samples at each mode, and a hundred that lie between two of them, nearer to the first."""
    values = quality(TRIANGLE, torch.cat([TRIANGLE.centers.repeat(100, 1), torch.tensor([[4.0, 0.0]]).repeat(100, 1)]))
    assert values["reverse_kl"] == pytest.approx(0.0, abs=1e-12) and values["jsd"] == pytest.approx(0.0, abs=1e-12)
    assert values["reverse_kl_all"] == pytest.approx(entropy([0.5, 0.25, 0.25], [1 / 3] * 3))
    assert values["jsd_all"] > 0.05


def test_jsd_rises_for_missing_modes_unequal_modes_and_bad_samples():
    good = TRIANGLE.sample(3000, torch.Generator().manual_seed(0))
    best = quality(TRIANGLE, good)["jsd_all"]
    unequal = torch.cat([good, TRIANGLE.centers[:1].repeat(3000, 1)])
    blurred = good + 2 * torch.randn(3000, 2, generator=torch.Generator().manual_seed(1))
    for worse in (good[good[:, 0] < 5], unequal, blurred):
        assert quality(TRIANGLE, worse)["jsd_all"] > 5 * best


def test_chi_square_is_scipys():
    x = torch.linspace(0, 20, 50, dtype=torch.float64)
    for degrees in (1, 2, 5):
        np.testing.assert_allclose(chi_square_cdf(x, degrees), chi2.cdf(x.numpy(), degrees), atol=1e-12)


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 1, 28, 28)])
def test_samples_must_have_the_mixtures_coordinates(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"read samples \(batch, 2\)"):
        MixtureQuality(TRIANGLE).update(torch.zeros(shape), real=True)
