from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from lightning.pytorch.loggers import Logger
from playing import play, quiet_trainer, tiny_gan, weights
from torch import Tensor

from gan_lightning.callbacks.evaluation import Evaluation
from gan_lightning.data import distributions
from gan_lightning.data.toys import ToyData, ring
from gan_lightning.game import Latent
from gan_lightning.gan import GAN
from gan_lightning.losses.adversarial import NonSaturating
from gan_lightning.metrics.base import SampleMetric, concatenated
from gan_lightning.metrics.digits import DigitQuality
from gan_lightning.metrics.mixture import MixtureQuality
from gan_lightning.metrics.sliced_wasserstein import SlicedWasserstein
from gan_lightning.priors import Gaussian, Labelled
from gan_lightning.regularizers.gradients import GradientPenalty


class MeanOfFakes(SampleMetric):
    """Remembers what it is shown, and gives means that are known."""

    keys: ClassVar[tuple[str, ...]] = ("mean", "real_count")
    fake_values: list[Tensor]
    real_count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.add_state("fake_values", [], dist_reduce_fx="cat")
        self.add_state("real_count", torch.tensor(0), dist_reduce_fx="sum")

    def accumulate(self, samples: Tensor, real: bool) -> None:
        self.sizes.append(len(samples))
        if real:
            self.real_count += len(samples)
        else:
            self.fake_values.append(samples.flatten())

    def compute(self) -> dict[str, float]:
        return {"mean": concatenated(self.fake_values).double().mean().item(), "real_count": float(self.real_count)}


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


class Recorder(Logger):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[int | None, dict[str, float]]] = []

    name = version = "recorder"

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.lines.append((step, dict(metrics)))


def data(reference_size: int = 50) -> ToyData:
    facts: dict[str, Any] = {"shape": [2], "batch_size": 8, "seed": 0, "reference_size": reference_size}
    return ring(modes=8, radius=1.0, std=0.01, **facts)


def evaluation(every: int = 2, **changes: Any) -> Evaluation:
    settings: dict[str, Any] = {"metrics": {"mean": MeanOfFakes()}, "num_fakes": 23, "batch_size": 5}
    return Evaluation(every, **{**settings, **changes})


def fit(gan: GAN, *callbacks: Evaluation, ckpt_path: Any = None, **settings: Any) -> Any:
    trainer = quiet_trainer(callbacks=list(callbacks), **settings)
    trainer.fit(gan, data(), ckpt_path=ckpt_path)
    return trainer


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
    expected = gan.generate(gan.draw(23, "evaluation"))
    ranks = []
    for rank in range(world_size):
        metric = MeanOfFakes()
        callback = evaluation(metrics={"mean": metric})
        callback.count_real(data(), "cpu", rank, world_size)
        callback.measure(gan, rank, world_size)
        assert max(metric.sizes) <= 5
        ranks.append(metric)
    fakes = torch.cat([concatenated(metric.fake_values) for metric in ranks]).reshape(-1, 2)
    torch.testing.assert_close(fakes, expected)
    assert sum(metric.real_count for metric in ranks) == 50


@pytest.mark.parametrize("world_size", [1, 2])
def test_every_fake_is_judged_with_the_class_it_was_made_for(world_size: int):
    gan = tiny_gan()
    gan.prior = Labelled(3, Gaussian(3), num_classes=4)
    latent = gan.draw(23, "evaluation")
    ranks = []
    for rank in range(world_size):
        metric = LabelsOfFakes()
        callback = evaluation(metrics={"labels": metric})
        callback.count_real(data(), "cpu", rank, world_size)
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
    assert gan.turns == 0
    callback = evaluation(metrics={"labels": LabelsOfFakes()})
    with pytest.raises(ValueError, match="no fake was made for a class"):
        callback.measure(gan)


def test_it_judges_the_averaged_generator():
    gan = tiny_gan(max_iterations=2)
    fit(gan, evaluation())
    latent = gan.draw(23, "evaluation")
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


def test_results_are_logged_by_iteration_with_the_best():
    logger = Recorder()
    gan = tiny_gan(max_iterations=5)
    fit(gan, evaluation(monitor="val/mean", mode="max"), logger=logger)
    assert [step for step, _ in logger.lines] == [2, 4, 5]
    means = [values["val/mean"] for _, values in logger.lines]
    assert len(set(means)) == 3
    assert [values["val/mean_best"] for _, values in logger.lines] == [max(means[: n + 1]) for n in range(3)]
    assert gan.metrics == logger.lines[-1][1]


@pytest.mark.parametrize(
    ("mode", "improved", "best", "at"),
    [("min", [True, False, False, True, False], 1.0, 3), ("max", [True, True, False, False, False], 5.0, 1)],
)
def test_the_best_is_the_first_of_the_smallest_or_largest_and_never_nan(
    mode: Any, improved: list[bool], best: float, at: int
):
    callback = evaluation(monitor="val/mean", mode=mode)
    found = []
    for iteration, value in enumerate([3.0, 5.0, math.nan, 1.0, 1.0]):
        callback.remember(value, iteration)
        found.append(callback.improved)
    assert (found, callback.best, callback.best_iteration) == (improved, best, at)


def test_a_continued_run_remembers_its_best(tmp_path: Path):
    first = evaluation(monitor="val/mean")
    fit(tiny_gan(max_iterations=2), first).save_checkpoint(tmp_path / "last.ckpt")
    first.remember(-1e9, 7)
    fit(tiny_gan(max_iterations=2), first).save_checkpoint(tmp_path / "last.ckpt")
    second = evaluation(monitor="val/mean")
    gan = tiny_gan(max_iterations=4)
    fit(gan, second, ckpt_path=tmp_path / "last.ckpt")
    assert (second.best, second.best_iteration, second.improved) == (-1e9, 7, False)
    assert gan.metrics["val/mean_best"] == -1e9


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, True),
        ({"batch_size": 7}, True),
        ({"num_fakes": 24}, False),
        ({"monitor": "val/real_count"}, False),
        ({"mode": "max"}, False),
    ],
)
def test_the_best_of_another_protocol_is_forgotten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, Any], kept: bool
):
    first = evaluation(monitor="val/mean")
    trainer = fit(tiny_gan(max_iterations=2), first)
    first.best, first.best_iteration = -1e9, 2
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    second = evaluation(**{"monitor": "val/mean", **changes})
    with caplog.at_level(logging.INFO, "gan_lightning"):
        fit(tiny_gan(max_iterations=4), second, ckpt_path=tmp_path / "last.ckpt")
    assert (second.best == -1e9) is kept
    assert second.best_iteration == (2 if kept else 4)
    told = [line for line in caplog.messages if "is forgotten: it was measured in another way" in line]
    assert len(told) == ("num_fakes" in changes)


def test_the_best_of_a_checkpoint_that_knows_no_protocol_is_kept():
    callback = evaluation(monitor="val/mean")
    callback.load_state_dict({"best": -1e9, "best_iteration": 1})
    fit(tiny_gan(max_iterations=2), callback)
    assert callback.best == -1e9


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
        callback.count_real(data(), "cpu")
        callback.measure(gan)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert len(found) == 5 + 1 and set(found) == {("highest", False)}


def test_it_says_how_and_when_it_measured():
    callback = evaluation(monitor="val/mean")
    fit(tiny_gan(max_iterations=5, seed=3), callback)
    assert callback.last_iteration == 5
    protocol = callback.protocol
    assert protocol is not None
    assert {key: protocol[key] for key in ("num_fakes", "seed", "weights", "precision", "batch_size")} == {
        **{"num_fakes": 23, "seed": 3, "weights": "ema", "precision": "float32", "batch_size": 5}
    }
    assert protocol["reference"]["size"] == 50
    assert protocol["numbers"].keys() == {"val/mean", "val/real_count"}


def test_metrics_stay_out_of_checkpoints(tmp_path: Path):
    gan = tiny_gan(max_iterations=2)
    metrics = {"swd": SlicedWasserstein(), "judge": Judge()}
    fit(gan, evaluation(metrics=metrics, monitor="val/swd")).save_checkpoint(tmp_path / "last.ckpt")
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert checkpoint["state_dict"].keys() == tiny_gan().state_dict().keys()
    (state,) = checkpoint["callbacks"].values()
    assert state.keys() == {"best", "best_iteration", "last_iteration", "protocol", "monitor", "mode"}


class Judge(MeanOfFakes):
    """A metric with a network of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.network = torch.nn.Linear(2, 2)


def test_without_metrics_it_does_nothing():
    gan = tiny_gan(max_iterations=2)
    play(gan, callbacks=[evaluation(metrics={})])  # a trainer without a data module: nothing is asked of it
    assert gan.metrics == {}
    assert torch.isfinite(weights(gan.generator)).all()


def test_data_that_a_metric_cannot_judge_is_told_before_the_first_update():
    gan = tiny_gan()
    with pytest.raises(ValueError, match="grey images"):
        fit(gan, evaluation(metrics={"digits": DigitQuality()}, every=1000))
    assert gan.turns == 0


def test_too_few_fakes_are_told_before_the_first_update():
    gan = tiny_gan()
    metric = MeanOfFakes()
    metric.least_fakes = 100
    with pytest.raises(ValueError, match=r"needs at least 100 fakes, not \d+: raise metrics\.num_fakes"):
        fit(gan, evaluation(metrics={"mean": metric}, every=1000, monitor=None))
    assert gan.turns == 0


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
