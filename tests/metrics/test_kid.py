from __future__ import annotations

import math

import pytest
import torch
from helpers.plain_extractor import Plain
from torch import Tensor
from torch_fidelity.metric_kid import kid_features_to_metric

from gan_lightning.metrics.kid import KernelDistance, kernel_distance, squared_mmd


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("n", "m"), [(60, 45), (30, 80)])
def test_equals_torch_fidelitys_of_the_same_subsets(n: int, m: int):
    """Theirs in float64, of features as large as Inception's are."""
    fake, real = normal(n, 64).abs() * 0.4, normal(m, 64, seed=1).abs() * 0.5
    theirs = kid_features_to_metric(
        fake.double(), real.double(), kid_subsets=20, kid_subset_size=25, rng_seed=7, verbose=False
    )
    mean, deviation = kernel_distance(fake, real, subsets=20, subset_size=25, seed=7)
    assert mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6, abs=1e-6)
    assert deviation == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-5)
    assert mean > 0.01


def test_equals_the_sums_over_pairs():
    x, y = normal(5, 3).double(), normal(4, 3, seed=1).double()

    def kernel(a: Tensor, b: Tensor) -> float:
        return (float(a @ b) / 3 + 1) ** 3

    within = [sum(kernel(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j) for z in (x, y)]
    across = sum(kernel(a, b) for a in x for b in y)
    expected = within[0] / 20 + within[1] / 12 - 2 * across / 20
    assert squared_mmd(x, y) == pytest.approx(expected, rel=1e-12)


def test_is_zero_on_average_for_equal_distributions():
    """Biased estimates would all be above it."""
    values = [kernel_distance(normal(40, 8, seed=i), normal(40, 8, seed=500 + i), 1, 40)[0] for i in range(200)]
    error = torch.tensor(values).std().item() / math.sqrt(200)
    assert abs(sum(values) / 200) < 3 * error
    assert min(values) < 0 < max(values)


def test_the_class_takes_features_in_batches_and_small_sets_whole():
    fake, real = normal(30, 6), normal(20, 6, seed=1) + 0.5
    metric = KernelDistance(Plain(6), subsets=3)
    for rows in (slice(0, 13), slice(13, None)):
        metric.update(fake[rows], real=False)
        metric.update(real[rows], real=True)
    mean, deviation = kernel_distance(fake, real, 3, 20)
    assert metric.compute() == {"kid": mean, "kid_std": deviation}
    assert metric.config == {"subsets": 3, "subset_size": 1000, "seed": 2020}


@pytest.mark.parametrize(("fakes", "real", "used"), [(30, 20, 20), (30, 500, 30), (5000, 2000, 1000)])
def test_the_config_states_the_size_of_the_subsets_that_are_drawn(fakes: int, real: int, used: int):
    metric = KernelDistance(Plain(6), subsets=3)
    assert metric.config_for(fakes, real) == {"subsets": 3, "subset_size": used, "seed": 2020}


@pytest.mark.parametrize(("subsets", "size"), [(0, 10), (5, 1)])
def test_subsets_must_be_some(subsets: int, size: int):
    with pytest.raises(ValueError, match="subsets of two samples or more"):
        KernelDistance(Plain(2), subsets, size)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_is_nan_for_features_that_are_not_finite(bad: float):
    spoilt = normal(10, 3)
    spoilt[4, 1] = bad
    for fake, real in ((spoilt, normal(10, 3)), (normal(10, 3), spoilt)):
        assert all(math.isnan(value) for value in kernel_distance(fake, real, 2, 5))


def test_training_settings_of_matrix_products_do_not_reach_it_and_stay():
    fake, real = normal(40, 64), normal(40, 64, seed=1) * 1.1
    expected = kernel_distance(fake, real, 2, 30)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert kernel_distance(fake, real, 2, 30) == expected
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
