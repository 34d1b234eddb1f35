"""Which fakes of a GAN an evaluation sees, with which labels, on how many ranks and in which precision."""

from __future__ import annotations

import pytest
import torch
from helpers.evaluated_games import LabelsOfFakes, MeanOfFakes, data
from helpers.tiny_gan import tiny_gan
from torch import Tensor

from gan_lightning.evaluation.evaluator import Evaluator
from gan_lightning.game import Latent
from gan_lightning.metrics.base import concatenated
from gan_lightning.priors import ClassConditional, Gaussian


@pytest.mark.parametrize("world_size", [1, 2, 3, 30])
def test_the_ranks_evaluate_exactly_the_fakes_of_one(world_size: int):
    gan = tiny_gan()
    expected = gan.generate(gan.fixed_latents(23, "evaluation"))
    ranks = []
    for rank in range(world_size):
        metric = MeanOfFakes()
        evaluator = Evaluator({"mean": metric}, batch_size=5)
        evaluator.prepare_gan(gan, data(), 23, rank, world_size)
        evaluator.evaluate_gan(gan, 23, rank, world_size)
        assert max(metric.sizes) <= 5
        ranks.append(metric)
    fakes = torch.cat([concatenated(metric.fake_values) for metric in ranks]).reshape(-1, 2)
    torch.testing.assert_close(fakes, expected)
    assert sum(metric.real_count for metric in ranks) == 50


@pytest.mark.parametrize("world_size", [1, 2])
def test_every_fake_is_shown_with_the_class_it_was_made_for(world_size: int):
    gan = tiny_gan()
    gan.prior = ClassConditional(3, Gaussian(3), num_classes=4)
    latent = gan.fixed_latents(23, "evaluation")
    ranks = []
    for rank in range(world_size):
        metric = LabelsOfFakes()
        evaluator = Evaluator({"labels": metric}, batch_size=5)
        evaluator.prepare_gan(gan, data(), 23, rank, world_size)
        evaluator.evaluate_gan(gan, 23, rank, world_size)
        ranks.append(metric)
    assert latent.labels is not None and len(latent.labels.unique()) == 4
    assert torch.equal(torch.cat([concatenated(metric.fake_labels) for metric in ranks]), latent.labels)
    fakes = torch.cat([concatenated(metric.fake_values) for metric in ranks]).reshape(-1, 2)
    torch.testing.assert_close(fakes, gan.generate(latent))


def test_fakes_are_made_in_full_float32_and_settings_come_back(monkeypatch: pytest.MonkeyPatch):
    found: list[tuple[str, bool]] = []

    def allowed() -> tuple[str, bool]:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    class Telling(MeanOfFakes):
        def compute(self) -> dict[str, float]:
            found.append(allowed())
            return super().compute()

    gan = tiny_gan()
    original = gan.generate

    def generate(latent: Latent) -> Tensor:
        found.append(allowed())
        return original(latent)

    monkeypatch.setattr(gan, "generate", generate)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        evaluator = Evaluator({"mean": Telling()}, batch_size=5)
        evaluator.prepare_gan(gan, data(), 23)
        evaluator.evaluate_gan(gan, 23)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert len(found) == 5 + 1 and set(found) == {("highest", False)}


def test_a_metric_of_classes_refuses_fakes_without():
    gan, evaluator = tiny_gan(), Evaluator({"labels": LabelsOfFakes()})
    for attempt in (lambda: evaluator.prepare_gan(gan, data(), 23), lambda: evaluator.evaluate_gan(gan, 23)):
        with pytest.raises(ValueError, match="no fake was made for a class"):
            attempt()
