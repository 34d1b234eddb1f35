from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import wasserstein_distance
from torch import Tensor

from gan_lightning.metrics.sliced_wasserstein import SlicedWasserstein, wasserstein_1d


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def distance(real: Tensor, fake: Tensor, projections: int = 128) -> float:
    metric = SlicedWasserstein(projections)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return metric.compute()["swd"]


@pytest.mark.parametrize(("n", "m"), [(20, 20), (6, 4), (7, 13), (1, 5), (100, 9)])
def test_first_order_equals_scipy_on_each_line(n: int, m: int):
    a, b = normal(n, 3), normal(m, 3, seed=1) * 2 + 1
    expected = [wasserstein_distance(x, y) for x, y in zip(a.T.numpy(), b.T.numpy(), strict=True)]
    np.testing.assert_allclose(wasserstein_1d(a, b, order=1.0), expected, rtol=1e-6)


@pytest.mark.parametrize(("n", "m"), [(12, 12), (6, 4), (3, 12)])
def test_second_order_equals_the_best_assignment(n: int, m: int):
    """Each point repeated until both sides have as many, then matched at the least squared cost."""
    a, b = normal(n, 1), normal(m, 1, seed=1) * 2 + 1
    size = math.lcm(n, m)
    x, y = a.repeat(size // n, 1).double().numpy(), b.repeat(size // m, 1).double().numpy()
    cost = (x - y.T) ** 2
    assert wasserstein_1d(a, b, order=2.0).item() == pytest.approx(cost[linear_sum_assignment(cost)].mean())


def test_a_shift_moves_every_projection_by_its_own_part():
    samples, shift = normal(50, 3, 4, 4), normal(1, 3, 4, 4, seed=1)
    along = shift.flatten() @ SlicedWasserstein().directions(48)
    expected = along.square().mean().sqrt().item()
    assert distance(samples, samples + shift) == pytest.approx(expected, rel=1e-5)


def test_a_shift_gives_its_length_over_root_dimension():
    samples, shift = normal(5, 48), normal(1, 48, seed=1)
    expected = (shift.norm() / math.sqrt(48)).item()
    assert distance(samples, samples + shift, projections=20_000) == pytest.approx(expected, rel=0.03)


def test_on_the_line_it_is_the_wasserstein_distance():
    a, b = normal(30, 1), normal(30, 1, seed=1) * 3
    expected = np.sqrt(np.mean((np.sort(a.numpy(), axis=0) - np.sort(b.numpy(), axis=0)) ** 2))
    assert distance(a, b, projections=5) == pytest.approx(expected, rel=1e-6)


def test_directions_are_unit_vectors_uniform_on_the_sphere():
    directions = SlicedWasserstein(50_000).directions(3).double()
    torch.testing.assert_close(directions.norm(dim=0), torch.ones(50_000).double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(directions @ directions.T / 50_000, torch.eye(3).double() / 3, rtol=0, atol=0.01)
    # On a sphere in three dimensions each coordinate is uniform (Archimedes).
    assert directions[0].quantile(torch.tensor([0.25, 0.5, 0.75]).double()) == pytest.approx([-0.5, 0, 0.5], abs=0.02)


def test_is_zero_for_the_same_samples_in_another_order():
    samples = normal(40, 2, 5, 5)
    assert distance(samples, samples.flip(0)) == 0.0


def test_projections_must_be_positive():
    with pytest.raises(ValueError, match="at least 1 projection, not 0"):
        SlicedWasserstein(0)
