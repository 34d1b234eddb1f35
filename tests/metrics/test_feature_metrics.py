"""Behaviour that metrics of features have in common."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.plain_extractor import Plain
from torch import Tensor

from gan_lightning.metrics import fid as frechet
from gan_lightning.metrics import precision_recall as manifold
from gan_lightning.metrics.base import FeatureMetric
from gan_lightning.metrics.fid import FrechetDistance
from gan_lightning.metrics.inception_score import InceptionScore
from gan_lightning.metrics.intra_class_fid import IntraClassFrechet
from gan_lightning.metrics.kid import KernelDistance
from gan_lightning.metrics.precision_recall import DensityCoverage, PrecisionRecall


@pytest.mark.parametrize("kind", [FrechetDistance, KernelDistance, PrecisionRecall, DensityCoverage, InceptionScore])
def test_without_an_extractor_the_error_names_the_way_out(kind: type[FeatureMetric]):
    with pytest.raises(ValueError, match=r"needs an extractor, and this data brings none: add extractor=\.\.\."):
        kind(None)
    with pytest.raises(ValueError, match=r"^intra_fid: needs an extractor"):
        IntraClassFrechet(None, 10)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "least"),
    [
        (FrechetDistance(Plain(4)), 2),
        (KernelDistance(Plain(4)), 2),
        (PrecisionRecall(Plain(4), 3), 4),
        (InceptionScore(Plain(4, 4), splits=5), 5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_fewest_fakes_that_are_let_pass_give_a_number(metric: FeatureMetric, least: int):
    samples = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    metric.update(samples, real=True)
    metric.update(samples[: least - 1] + 1, real=False)
    with pytest.raises(ValueError, match="raise metrics.num_fakes"):
        metric.compute()
    with pytest.raises(ValueError, match=f"needs at least {least} fakes, not {least - 1}: raise metrics.num_fakes"):
        metric.check_count(least - 1)
    metric.check_count(least)
    real = 1 if isinstance(metric, InceptionScore) else least
    with pytest.raises(ValueError, match=f"needs at least {real} real samples, not {real - 1}: give more data"):
        metric.check_real_count(real - 1)
    metric.check_real_count(real)
    metric.update(samples[:1] + 1, real=False)
    assert all(math.isfinite(value) for value in metric.compute().values())


def test_no_sample_is_no_news_of_the_real_ones(monkeypatch: pytest.MonkeyPatch):
    """What is known of them stays known when a batch of none comes along."""
    samples = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    calls: list[str] = []

    def counting(name: str, work: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def counted(*given: Any) -> Tensor:
            calls.append(name)
            return work(*given)

        return counted

    monkeypatch.setattr(frechet, "factor", counting("factor", frechet.factor))
    monkeypatch.setattr(manifold, "radii", counting("radii", manifold.radii))
    for metric in (FrechetDistance(Plain(4)), DensityCoverage(Plain(4), 3)):
        metric.update(samples, real=True)
        for _ in range(2):
            metric.update(samples[:0], real=True)
            metric.reset()
            metric.update(samples + 1, real=False)
            metric.compute()
    assert calls == ["factor", "radii"]
