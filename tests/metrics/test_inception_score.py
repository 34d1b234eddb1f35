from __future__ import annotations

import math

import pytest
import torch
from helpers.plain_extractor import Plain
from torch import Tensor
from torch_fidelity.metric_isc import isc_features_to_metric

from gan_lightning.metrics.inception_score import InceptionScore, inception_score


def logits(count: int, classes: int, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(count, classes, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("count", "splits"), [(100, 10), (37, 4), (10, 10)])
def test_equals_torch_fidelitys(count: int, splits: int):
    given = logits(count, 12)
    theirs = isc_features_to_metric(given, splits=splits, shuffle=True, rng_seed=2020)
    mean, deviation = inception_score(given, splits)
    assert mean == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
    assert deviation == pytest.approx(theirs["inception_score_std"], rel=1e-6, abs=1e-9)


def test_sure_of_every_class_equally_often_is_the_number_of_classes():
    """One part, whose marginal is uniform: KL is log of the number of classes for each sample."""
    sure = 1000.0 * torch.eye(7).repeat(20, 1)
    assert inception_score(sure, splits=1) == pytest.approx((7.0, 0.0))


def test_one_class_or_no_opinion_is_one():
    assert inception_score(torch.tensor([[1000.0, 0, 0]]).repeat(30, 1))[0] == pytest.approx(1.0)
    assert inception_score(torch.zeros(30, 3))[0] == pytest.approx(1.0)


def test_the_class_takes_fakes_in_batches_and_no_real_samples():
    fake = logits(50, 5)
    metric = InceptionScore(Plain(5, num_classes=5), splits=5)
    for rows in (slice(0, 13), slice(13, None)):
        metric.update(fake[rows], real=False)
        metric.update(fake[rows] * 9, real=True)
    theirs = isc_features_to_metric(fake, splits=5, shuffle=True, rng_seed=2020)
    values = metric.compute()
    assert values["inception_score"] == pytest.approx(theirs["inception_score_mean"], rel=1e-6)
    assert values["inception_score_std"] == pytest.approx(theirs["inception_score_std"], rel=1e-5)
    assert metric.config == {"splits": 5, "seed": 2020}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_is_nan_for_logits_that_are_not_finite(bad: float):
    given = logits(40, 4)
    given[7, 2] = bad
    metric = InceptionScore(Plain(4, num_classes=4))
    metric.update(given, real=False)
    assert all(math.isnan(value) for value in [*inception_score(given), *metric.compute().values()])


def test_too_few_fakes_and_extractors_without_classes_are_refused():
    with pytest.raises(ValueError, match="knows classes, and plain does not: choose extractor=inception"):
        InceptionScore(Plain(4))
    with pytest.raises(ValueError, match="at least 1 split, not 0"):
        InceptionScore(Plain(4, num_classes=4), splits=0)
    metric = InceptionScore(Plain(4, num_classes=4))
    metric.update(torch.zeros(9, 4), real=False)
    with pytest.raises(ValueError, match=r"over 10 splits needs as many fakes, not 9: raise metrics\.num_fakes"):
        metric.compute()
