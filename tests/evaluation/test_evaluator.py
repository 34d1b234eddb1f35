"""What metrics and extractors are shown of real samples, how often, and which features come of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.evaluated_images import Pictures, Sums, judges, looked_at
from torch import Tensor

from gan_lightning.evaluation import evaluator as judging
from gan_lightning.evaluation.evaluator import Evaluator
from gan_lightning.extractors.digits import Digits
from gan_lightning.metrics.fid import FrechetDistance
from gan_lightning.metrics.label_accuracy import ConditionalAccuracy
from gan_lightning.metrics.sliced_wasserstein import SlicedWasserstein


def test_features_are_made_anew_of_images_that_were_written_to():
    extractor, images = Sums(), torch.rand(3, 1, 4, 4)
    first = extractor(images)
    assert extractor(images) is first
    images.mul_(2.0)
    torch.testing.assert_close(extractor(images).features, 2 * first.features)
    with torch.inference_mode():
        images = torch.rand(3, 1, 4, 4)
        first = extractor(images)
        images.mul_(2.0)
        torch.testing.assert_close(extractor(images).features, 2 * first.features)


@pytest.mark.parametrize("what", [float("nan"), float("inf"), -float("inf")])
def test_an_image_that_is_not_finite_has_no_features(what: float):
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    images[1, 0, 2, 3] = what
    for features in Digits()(images):
        assert features is not None
        assert features.isnan().all(dim=1).tolist() == [False, True, False]
        assert features[[0, 2]].isfinite().all()


def test_only_rank_0_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch):
    shown: list[str] = []

    def watched(batches: Any, what: str, *_: Any) -> Any:
        shown.append(what)
        return batches

    monkeypatch.setattr(judging, "watched", watched)
    for rank in (0, 1):
        judges(None).prepare_reference(Pictures(), "cpu", rank, 2)
    assert shown == ["reading real samples"]


def test_what_keeps_nothing_of_real_samples_is_shown_one_batch(monkeypatch: pytest.MonkeyPatch):
    shown: list[int] = []
    metric = ConditionalAccuracy()
    monkeypatch.setattr(metric, "accumulate", lambda samples, real: shown.append(len(samples)))
    Evaluator({"labels": metric}, 7).prepare_reference(Pictures(), "cpu")
    assert shown == [7]


def test_metrics_get_the_classes_of_real_samples():
    given: list[Tensor] = []

    class Classes(SlicedWasserstein):
        def accumulate_labelled(self, samples: Tensor, labels: Tensor, real: bool) -> None:
            given.append(labels)

    Evaluator({"swd": Classes(4)}, 7).prepare_reference(Pictures(), "cpu")
    assert torch.equal(torch.cat(given), torch.arange(60) % 3)


def test_equal_extractors_become_one_that_looks_once():
    made = Evaluator({"a": FrechetDistance(Sums()), "b": Kinder(Sums()), "c": Third(Sums("other"))}, 7)
    a, b, c = (metric.extractor for metric in made.metrics.values())
    assert a is b and a is not c
    assert looked_at(made, Pictures()) == 2 * 60
    assert all(extractor._last is None for extractor in made.extractors), "and keeps no images"


class Kinder(FrechetDistance):
    keys = ("kinder",)


class Third(FrechetDistance):
    keys = ("third",)
