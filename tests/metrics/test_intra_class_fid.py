from __future__ import annotations

import math

import pytest
import torch
from helpers.plain_extractor import Plain
from torch import Tensor

from gan_lightning.metrics.fid import FrechetDistance
from gan_lightning.metrics.intra_class_fid import IntraClassFrechet


def two_classes(seed: int, first: float = 0.0, second: float = 6.0) -> tuple[Tensor, Tensor]:
    """Forty samples of each of two classes around different centres, mixed, and their labels, 0 and 2 of three."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.tensor([0, 2]).repeat(40)
    samples = torch.randn(80, 4, generator=rng) + torch.where(labels == 0, first, second)[:, None]
    return samples, labels


def evaluated(fake: tuple[Tensor, Tensor], real: tuple[Tensor, Tensor]) -> float:
    metric = IntraClassFrechet(Plain(4), 3)
    for rows in (slice(0, 33), slice(33, None)):
        metric.update(real[0][rows], real=True, labels=real[1][rows])
        metric.update(fake[0][rows], real=False, labels=fake[1][rows])
    return metric.compute()["intra_fid"]


def distance(fake: Tensor, real: Tensor) -> float:
    metric = FrechetDistance(Plain(4))
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return metric.compute()["fid"]


def test_is_the_mean_of_the_distances_within_classes():
    fake, real = two_classes(0, first=1.0), two_classes(1)
    within = [distance(fake[0][fake[1] == kind], real[0][real[1] == kind]) for kind in (0, 2)]
    assert evaluated(fake, real) == pytest.approx(sum(within) / 2, rel=1e-9)
    assert within[0] > 3 > within[1]


def test_sees_classes_that_are_mixed_up_where_the_distance_of_all_does_not():
    (fake, labels), real = two_classes(0), two_classes(1)
    swapped = fake, 2 - labels
    assert evaluated((fake, labels), real) < 1
    assert evaluated(swapped, real) > 100
    assert distance(fake, real[0]) < 1


def test_is_zero_for_the_same_samples():
    real = two_classes(0)
    assert evaluated(real, real) == pytest.approx(0.0, abs=1e-6)


def test_samples_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="intra_fid: the data have no classes"):
        IntraClassFrechet(Plain(4), None)
    samples, labels = two_classes(0)
    metric = IntraClassFrechet(Plain(4), 3)
    with pytest.raises(ValueError, match="no fake was made for a class: .*prior=labelled"):
        metric.update(samples, real=False)
    with pytest.raises(ValueError, match=r"one label for each sample, \(batch,\), not \(80, 2\)"):
        metric.update(samples, real=False, labels=torch.stack([labels, labels], 1))
    with pytest.raises(ValueError, match="labels of 3 classes, 0 to 2, not 3"):
        metric.update(samples, real=True, labels=labels + 1)
    metric.update(samples, real=True, labels=labels)
    metric.check_count(4)
    with pytest.raises(
        ValueError, match=r"two fakes or more of each of 2 classes, and 3 are too few: raise metrics\.num"
    ):
        metric.check_count(3)


def test_classes_without_real_samples_are_passed_over():
    """As with data.classes, where the prior still draws every class."""
    (fake, labels), real = two_classes(0), two_classes(1)
    extra = torch.randn(30, 4, generator=torch.Generator().manual_seed(2)) + 50
    more = torch.cat([fake, extra]), torch.cat([labels, torch.ones(30, dtype=torch.int64)])
    metric = IntraClassFrechet(Plain(4), 3)
    metric.update(real[0], real=True, labels=real[1])
    metric.update(more[0], real=False, labels=more[1])
    assert metric.compute()["intra_fid"] == pytest.approx(evaluated((fake, labels), real), rel=1e-9)


def test_a_class_with_too_few_ends_no_run():
    samples, labels = two_classes(0)
    metric = IntraClassFrechet(Plain(4), 3)
    metric.update(samples, real=False, labels=labels)
    assert math.isnan(metric.compute()["intra_fid"])
    with pytest.raises(ValueError, match="the real samples have no classes"):
        metric.check_count(100)
    metric.reset()
    metric.update(samples, real=True, labels=labels)
    metric.update(samples[::2], real=False, labels=labels[::2])
    metric.update(samples[1:2], real=False, labels=labels[1:2])
    assert math.isnan(metric.compute()["intra_fid"]), "one fake of class 2"
    metric.update(samples[3:4], real=False, labels=labels[3:4])
    assert math.isfinite(metric.compute()["intra_fid"])
    metric.update(samples[:1], real=True, labels=torch.ones(1, dtype=torch.int64))
    assert math.isnan(metric.compute()["intra_fid"]), "one real sample of class 1"
    with pytest.raises(ValueError, match="class 1 has 1 real sample, which has no covariance"):
        metric.check_count(100)
