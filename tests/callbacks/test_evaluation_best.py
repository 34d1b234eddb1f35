"""What an evaluation leaves behind: numbers by iteration, the best of them, and what a checkpoint knows of both."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.evaluated_games import MeanOfFakes, evaluation, fit
from helpers.tiny_gan import tiny_gan
from lightning.pytorch.loggers import Logger

from gan_lightning.metrics.sliced_wasserstein import SlicedWasserstein


class Recorder(Logger):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[int | None, dict[str, float]]] = []

    name = version = "recorder"

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.lines.append((step, dict(metrics)))


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
    lines = [line for line in caplog.messages if "is forgotten: it was measured in another way" in line]
    assert len(lines) == ("num_fakes" in changes)


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
    metrics = {"swd": SlicedWasserstein(), "network": WithNetwork()}
    fit(gan, evaluation(metrics=metrics, monitor="val/swd")).save_checkpoint(tmp_path / "last.ckpt")
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert checkpoint["state_dict"].keys() == tiny_gan().state_dict().keys()
    (state,) = checkpoint["callbacks"].values()
    assert state.keys() == {"best", "best_iteration", "last_iteration", "protocol", "monitor", "mode"}


class WithNetwork(MeanOfFakes):
    """A metric with a network of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.network = torch.nn.Linear(2, 2)
