"""What an evaluation judges, that training does not notice it, and what it refuses before the first update."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.evaluated_games import MeanOfFakes, data, evaluation, fit
from helpers.tiny_gan import play, tiny_gan, weights
from torch import Tensor

from gan_lightning.callbacks.evaluation import Evaluation
from gan_lightning.data import distributions
from gan_lightning.game import Latent
from gan_lightning.gan import GAN
from gan_lightning.losses.adversarial import NonSaturating
from gan_lightning.metrics.base import concatenated
from gan_lightning.metrics.digits import DigitQuality
from gan_lightning.metrics.mode_coverage import MixtureQuality
from gan_lightning.metrics.sliced_wasserstein import SlicedWasserstein
from gan_lightning.priors import ClassConditional, Gaussian
from gan_lightning.regularizers.gradient_penalties import GradientPenalty


class LabelsOfFakes(MeanOfFakes):
    """Remembers which fakes it was shown for which labels."""

    keys = ("asked",)
    needs_labels = True
    fake_labels: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("fake_labels", [], dist_reduce_fx="cat")

    def accumulate_labelled(self, samples: Tensor, labels: Tensor, real: bool) -> None:
        if not real:
            self.fake_labels.append(labels)

    def compute(self) -> dict[str, float]:
        return {"asked": float(len(concatenated(self.fake_labels)))}


def test_training_is_bit_identical_with_and_without_it():
    """Under a generator with batch norm and a penalty that draws from torch's own random numbers."""

    def trained(*callbacks: Evaluation) -> GAN:
        objectives = {"adversarial": NonSaturating(), "gradient_penalty": GradientPenalty()}
        gan = tiny_gan(objectives, batch_norm=True, max_iterations=4)
        fit(gan, *callbacks)
        assert gan.generator.training and gan.discriminator.training
        return gan

    metrics = {"mixture": MixtureQuality(distributions.ring()), "swd": SlicedWasserstein()}
    with_it, without = trained(evaluation(1, metrics=metrics, num_fakes=40)), trained()
    assert with_it.metrics.keys() > {"val/modes", "val/swd"}
    for name, value in with_it.state_dict().items():
        assert torch.equal(value, without.state_dict()[name]), name


@pytest.mark.parametrize("world_size", [1, 2, 3, 30])
def test_the_ranks_judge_exactly_the_fakes_of_one(world_size: int):
    gan = tiny_gan()
    expected = gan.generate(gan.fixed_latents(23, "evaluation"))
    ranks = []
    for rank in range(world_size):
        metric = MeanOfFakes()
        callback = evaluation(metrics={"mean": metric})
        callback.prepare_reference(data(), "cpu", rank, world_size)
        callback.measure(gan, rank, world_size)
        assert max(metric.sizes) <= 5
        ranks.append(metric)
    fakes = torch.cat([concatenated(metric.fake_values) for metric in ranks]).reshape(-1, 2)
    torch.testing.assert_close(fakes, expected)
    assert sum(metric.real_count for metric in ranks) == 50


@pytest.mark.parametrize("world_size", [1, 2])
def test_every_fake_is_judged_with_the_class_it_was_made_for(world_size: int):
    gan = tiny_gan()
    gan.prior = ClassConditional(3, Gaussian(3), num_classes=4)
    latent = gan.fixed_latents(23, "evaluation")
    ranks = []
    for rank in range(world_size):
        metric = LabelsOfFakes()
        callback = evaluation(metrics={"labels": metric})
        callback.prepare_reference(data(), "cpu", rank, world_size)
        callback.measure(gan, rank, world_size)
        ranks.append(metric)
    assert latent.labels is not None and len(latent.labels.unique()) == 4
    assert torch.equal(torch.cat([concatenated(metric.fake_labels) for metric in ranks]), latent.labels)
    fakes = torch.cat([concatenated(metric.fake_values) for metric in ranks]).reshape(-1, 2)
    torch.testing.assert_close(fakes, gan.generate(latent))


def test_a_metric_of_classes_without_classes_is_told_before_the_first_update():
    gan = tiny_gan()
    with pytest.raises(ValueError, match="asked: no fake was made for a class: .*prior=labelled"):
        fit(gan, evaluation(metrics={"labels": LabelsOfFakes()}, every=1000))
    assert gan.discriminator_updates == 0
    callback = evaluation(metrics={"labels": LabelsOfFakes()})
    with pytest.raises(ValueError, match="no fake was made for a class"):
        callback.measure(gan)


def test_it_judges_the_averaged_generator():
    gan = tiny_gan(max_iterations=2)
    fit(gan, evaluation())
    latent = gan.fixed_latents(23, "evaluation")
    assert gan.metrics["val/mean"] == pytest.approx(gan.averaged_generator(latent).mean().item(), rel=1e-5)
    assert gan.metrics["val/mean"] != pytest.approx(gan.generator(latent).mean().item(), rel=1e-3)


def test_real_samples_are_counted_once_and_fakes_anew():
    metric = MeanOfFakes()
    gan = tiny_gan(max_iterations=6)
    fit(gan, evaluation(metrics={"mean": metric}))
    assert gan.metrics["val/real_count"] == 50
    assert concatenated(metric.fake_values).numel() == 2 * 23
    assert sum(metric.sizes) == 50 + 3 * 23


def test_a_second_fit_does_not_count_the_real_samples_again():
    callback = evaluation()
    for _ in range(2):
        gan = tiny_gan(max_iterations=2)
        fit(gan, callback)
    assert gan.metrics["val/real_count"] == 50


def test_fakes_are_made_in_full_float32_and_training_goes_on_as_it_was(monkeypatch: pytest.MonkeyPatch):
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
        callback = evaluation(metrics={"mean": Telling()})
        callback.prepare_reference(data(), "cpu")
        callback.measure(gan)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert len(found) == 5 + 1 and set(found) == {("highest", False)}


def test_without_metrics_it_does_nothing():
    gan = tiny_gan(max_iterations=2)
    play(gan, callbacks=[evaluation(metrics={})])  # a trainer without a data module: nothing is asked of it
    assert gan.metrics == {}
    assert torch.isfinite(weights(gan.generator)).all()


def test_data_that_a_metric_cannot_judge_is_told_before_the_first_update():
    gan = tiny_gan()
    with pytest.raises(ValueError, match="grey images"):
        fit(gan, evaluation(metrics={"digits": DigitQuality()}, every=1000))
    assert gan.discriminator_updates == 0


def test_too_few_fakes_are_told_before_the_first_update():
    gan = tiny_gan()
    metric = MeanOfFakes()
    metric.min_fakes = 100
    with pytest.raises(ValueError, match=r"needs at least 100 fakes, not \d+: raise metrics\.num_fakes"):
        fit(gan, evaluation(metrics={"mean": metric}, every=1000, monitor=None))
    assert gan.discriminator_updates == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": {"a": MeanOfFakes(), "b": MeanOfFakes()}}, "two metrics that give val/mean and val/real_count"),
        ({"monitor": "val/fid"}, "metrics.monitor=val/fid is not measured: choose from val/mean, val/real_count"),
        ({"monitor": "val/fid", "metrics": {}}, "choose from null"),
        ({"mode": "least"}, "metrics.mode must be min or max, not 'least'"),
        ({"num_fakes": 0}, "metrics.num_fakes must be a whole number of at least 1, not 0"),
    ],
)
def test_what_cannot_work_is_told_at_construction(changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        evaluation(**changes)
