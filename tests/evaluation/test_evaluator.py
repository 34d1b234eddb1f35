"""What metrics and extractors are shown of real samples, how often, and which features come of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.evaluated_images import RandomImages, Sums, images_seen, make_evaluator
from torch import Tensor

from gan_lightning.evaluation import evaluator as evaluator_module
from gan_lightning.evaluation.evaluator import Evaluator
from gan_lightning.extractors.digits import Digits
from gan_lightning.metrics.base import FeatureMetric
from gan_lightning.metrics.fid import FrechetDistance
from gan_lightning.metrics.intra_class_fid import IntraClassFrechet
from gan_lightning.metrics.kid import KernelDistance
from gan_lightning.metrics.label_accuracy import ConditionalAccuracy
from gan_lightning.metrics.sliced_wasserstein import SlicedWasserstein


def test_given_features_are_taken_for_those_of_the_images():
    images, other = torch.rand(2, 9, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    given, own = FrechetDistance(Sums()), FrechetDistance(Sums())
    own.update(other, real=True)
    given.update(images, real=True, features=own.extractor(other))
    assert torch.equal(given.real_sum, own.real_sum) and own.real_sum.any()


def test_an_evaluation_gives_the_numbers_of_each_metric_by_itself():
    data = RandomImages()
    fakes = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(5)) * 2 - 1

    def made() -> dict[str, FeatureMetric]:
        return {"fid": FrechetDistance(Sums()), "kid": KernelDistance(Sums()), "intra": IntraClassFrechet(Sums(), 3)}

    labels, expected = torch.arange(40) % 3, dict[str, float]()
    for metric in made().values():
        for samples, classes in data.labelled_reference_batches("cpu", batch_size=7):
            metric.update(samples, real=True, labels=classes)
        for rows in torch.arange(40).split(7):
            metric.update(fakes[rows], real=False, labels=labels[rows])
        expected |= {f"val/{key}": value for key, value in metric.compute().items()}
    evaluator = Evaluator(made(), 7)
    evaluator.prepare_reference(data, "cpu")
    Sums.seen = 0
    assert evaluator.evaluate(((fakes[rows], labels[rows]) for rows in torch.arange(40).split(7)), 40) == expected
    assert Sums.seen == 40


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

    def track(batches: Any, what: str, *_: Any) -> Any:
        shown.append(what)
        return batches

    monkeypatch.setattr(evaluator_module, "track", track)
    for rank in (0, 1):
        make_evaluator(None).prepare_reference(RandomImages(), "cpu", rank, 2)
    assert shown == ["reading real samples"]


def test_what_keeps_nothing_of_real_samples_is_shown_one_batch(monkeypatch: pytest.MonkeyPatch):
    shown: list[int] = []
    metric = ConditionalAccuracy()
    monkeypatch.setattr(metric, "accumulate_features", lambda features, real: shown.append(len(features.features)))
    monkeypatch.setattr(metric.extractor, "extract", Sums().extract)
    Evaluator({"labels": metric}, 7).prepare_reference(RandomImages(), "cpu")
    assert shown == [7]


def test_metrics_get_the_classes_of_real_samples():
    given: list[Tensor] = []

    class Classes(SlicedWasserstein):
        def accumulate_labelled(self, samples: Tensor, labels: Tensor, real: bool) -> None:
            given.append(labels)

    Evaluator({"swd": Classes(4)}, 7).prepare_reference(RandomImages(), "cpu")
    assert torch.equal(torch.cat(given), torch.arange(60) % 3)


def test_equal_extractors_become_one_that_looks_once():
    made = Evaluator({"a": FrechetDistance(Sums()), "b": Kinder(Sums()), "c": Third(Sums("other"))}, 7)
    a, b, c = (metric.extractor for metric in made.metrics.values())
    assert a is b and a is not c
    assert images_seen(made, RandomImages()) == 2 * 60


class Kinder(FrechetDistance):
    keys = ("kinder",)


class Third(FrechetDistance):
    keys = ("third",)
