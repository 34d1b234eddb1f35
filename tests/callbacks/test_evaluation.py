"""Which generator is evaluated, that training does not notice it, and what is refused before the first update."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.evaluated_games import LabelsOfFakes, MeanOfFakes, evaluation, fit
from helpers.tiny_gan import play, tiny_gan, weights

from gan_lightning.callbacks.evaluation import Evaluation
from gan_lightning.data import distributions
from gan_lightning.gan import GAN
from gan_lightning.losses.adversarial import NonSaturating
from gan_lightning.metrics.base import concatenated
from gan_lightning.metrics.digits import DigitQuality
from gan_lightning.metrics.mode_coverage import MixtureQuality
from gan_lightning.metrics.sliced_wasserstein import SlicedWasserstein
from gan_lightning.regularizers.gradient_penalties import GradientPenalty


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


def test_a_metric_of_classes_refuses_other_priors_before_the_first_update():
    gan = tiny_gan()
    with pytest.raises(ValueError, match="labelled: no fake was made for a class: .*prior=labelled"):
        fit(gan, evaluation(metrics={"labels": LabelsOfFakes()}, every=1000))
    assert gan.discriminator_updates == 0


def test_it_evaluates_the_averaged_generator():
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


def test_without_metrics_it_does_nothing():
    gan = tiny_gan(max_iterations=2)
    play(gan, callbacks=[evaluation(metrics={})])  # a trainer without a data module: none is needed
    assert gan.metrics == {}
    assert torch.isfinite(weights(gan.generator)).all()


def test_data_that_a_metric_does_not_read_are_refused_before_the_first_update():
    gan = tiny_gan()
    with pytest.raises(ValueError, match="grey images"):
        fit(gan, evaluation(metrics={"digits": DigitQuality()}, every=1000))
    assert gan.discriminator_updates == 0


def test_too_few_fakes_are_refused_before_the_first_update():
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
def test_bad_arguments_are_refused_at_construction(changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        evaluation(**changes)
