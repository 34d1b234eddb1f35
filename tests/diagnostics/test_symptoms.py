from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from helpers.watched_games import Scripted, data, found, game, play
from rich.console import Console
from torch import Tensor

from gan_lightning.callbacks.health import Health
from gan_lightning.data import toys
from gan_lightning.data.base import RealData
from gan_lightning.data.toys import ToyData
from gan_lightning.diagnostics.symptoms import ADVICE, SymptomTracker, oscillating
from gan_lightning.metrics.base import SampleMetric
from gan_lightning.models.mlp import MLPDiscriminator, MLPGenerator
from gan_lightning.runs.report import print_health


def scripted(
    key: str, values: list[float], source: RealData | None = None, mode: Any = "min", **settings: Any
) -> Health:
    health, evaluation = Health(every=100, probe_every=100, **settings), Scripted(key, values)
    evaluation.mode = mode
    play(game(max_iterations=2 * len(values)), evaluation, health, source=source)
    return health


def test_a_metric_that_swings_and_gets_no_better():
    health = scripted("val/fid", [9, 5, 20, 8, 25, 7, 30, 9], stale=5)
    assert found(health) == [("oscillation", 14, None)]
    assert "between 7 and 30" in health.records[0]["saw"]


@pytest.mark.parametrize(
    "values",
    [
        [5, 5.2, 5.1, 5.3, 5.1, 5.2, 5.1, 5.2],
        [5, 8, 12, 20, 30, 40, 50, 60],
        [20, 9, 18, 8, 17, 7, 15, 6],
        [math.nan] * 8,
    ],
    ids=["noise", "worse and worse", "better each other time", "no number"],
)
def test_what_is_no_oscillation(values: list[float]):
    assert found(scripted("val/fid", values, stale=5)) == []


def noise(seed: int, count: int = 20) -> list[float]:
    """|N(0, 1)|: a distance at its floor."""
    return torch.randn(count, generator=torch.Generator().manual_seed(seed)).abs().tolist()


def test_noise_at_the_floor_is_no_oscillation():
    """Its range is twice its median and more, but little of the 100 that was won."""
    for seed in range(100):
        assert oscillating("val/fid", noise(seed, 10), won=100, swing=0.5) is None
    assert found(scripted("val/fid", [100.0, 30.0, *noise(1)])) == []
    assert found(scripted("val/fid", [0.0, *noise(1)])) == []  # at the floor from the start


@pytest.mark.parametrize("mode", ["min", "max"])
def test_swings_as_large_as_the_gain_are_detected_whatever_the_noise(mode: str):
    waves = [100.0, 0.0, *(40 + 30 * math.sin(at) + value for at, value in enumerate(noise(1)))]
    values = waves if mode == "min" else [100 - value for value in waves]
    assert [symptom for symptom, _, _ in found(scripted("val/fid", values, mode=mode))] == ["oscillation"]


def test_swings_that_are_little_beside_the_metric_are_noise():
    assert found(scripted("val/fid", [1000.0, 999.0, *(1010 + value for value in noise(2))])) == []


def test_a_metric_that_is_worse_than_at_first_by_orders_of_magnitude():
    health = scripted("val/fid", [9.0, 5.0, 890.0, 910.0])
    assert found(health) == [("metric_out_of_scale", 8, None)]
    assert health.records[0]["saw"] == "val/fid is 910, 1e+02 times what it was at the first evaluation"
    assert found(scripted("val/fid", [9.0, 5.0, 890.0, 910.0], mode="max")) == []  # more is better


def ring() -> ToyData:
    return toys.ring(8, 1.0, 0.01, shape=[2], batch_size=32, seed=0)


def test_modes_that_are_missing_or_lost():
    lost = scripted("val/modes", [3, 6, 6, 3, 3, 3, 8, 8])  # a Gaussian: their number is not known
    assert found(lost) == [("missing_modes", 8, 14)]
    assert lost.records[0]["saw"] == "val/modes is 3 of 6"


def test_modes_are_compared_with_those_of_the_data():
    health = Health(every=100, probe_every=100)
    gan = game(
        MLPGenerator(latent_dim=2, shape=[2], value_range=None, width=8, depth=1, batch_norm=True),
        MLPDiscriminator(shape=[2], width=8, depth=1),
        max_iterations=6,
    )
    play(gan, Scripted("val/modes", [5, 5, 5]), health, source=ring())
    assert found(health) == [("missing_modes", 2, None)]
    assert health.records[0]["saw"] == "val/modes is 5 of 8"


class Reading(SampleMetric):
    """Reads the ten digits."""

    keys = ("class_entropy",)
    num_classes = 10

    def accumulate(self, samples: Tensor, real: bool) -> None: ...

    def compute(self) -> dict[str, float]:
        return {}


MISSING = [("missing_classes", 2, None)]


@pytest.mark.parametrize(
    ("num_classes", "classes", "expected"),
    [(10, None, MISSING), (10, [2], []), (10, [2, 7], []), (10, [1, 2, 3, 4, 5], []), (2, None, []), (20, None, [])],
)
def test_classes_that_are_missing_are_those_of_the_data(num_classes: int, classes: list[int] | None, expected: Any):
    """Two of ten classes have an entropy of log 2 / log 10 = .3, and five one of .7; others may be read as any."""
    source, evaluation = data(), Scripted("val/class_entropy", [0.36, 0.36, 0.36])
    vars(source).update(num_classes=num_classes, classes=classes)
    evaluation.metrics = {"reading": Reading()}
    health = Health(every=100, probe_every=100)
    play(game(), evaluation, health, source=source)
    assert found(health) == expected


def test_what_went_wrong_is_in_the_report(capsys: pytest.CaptureFixture[str]):
    course = SymptomTracker(patience=1)
    for iteration, saw in ((10, "[seen] this"), (20, None), (30, "and that")):
        course.observe(iteration, {"oscillation": saw})
    print_health(course.records, Console(soft_wrap=True, highlight=False))
    assert capsys.readouterr().out.splitlines() == [
        "oscillation since iteration 10, gone since 20: [seen] this",
        f"oscillation since iteration 30: and that; try: {ADVICE['oscillation']}",
    ]
