from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from composing import composed, job_part
from hydra.utils import instantiate
from rich.console import Console
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim import SGD
from watched import Constant, Scripted, data, found, game, play

from gan_lightning.callbacks.checkpoint import Checkpoint
from gan_lightning.callbacks.health import Health
from gan_lightning.callbacks.symptoms import ADVICE, Course
from gan_lightning.cli.report import print_health
from gan_lightning.data import toys
from gan_lightning.data.base import RealData
from gan_lightning.data.toys import ToyData
from gan_lightning.game import Batch, Latent
from gan_lightning.gan import GAN
from gan_lightning.losses.adversarial import Minimax, Wasserstein
from gan_lightning.models.mlp import MLPDiscriminator, MLPGenerator


class Recovering(Constant):
    """Makes one point while the `gan` has played fewer than 6 iterations, and then many."""

    gan: list[GAN]

    def forward(self, latent: Latent) -> Tensor:
        return self.point + (self.gan[0].iterations >= 6) * latent.z[:, :1]


class Even(nn.Module):
    """A discriminator that says the same of everything."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, samples: Tensor) -> Tensor:
        return self.bias + 0 * samples[:, 0]


class Grey(RealData):
    """Values evenly in (-1, 1)."""

    reference_size = 64

    def __init__(self) -> None:
        super().__init__(shape=[8], num_classes=None, value_range=[-1, 1], batch_size=32, seed=0)

    def train_dataloader(self) -> Any:
        while True:
            yield next(self.labelled_reference_batches("cpu"))

    def labelled_reference_batches(self, *args: Any, batch_size: int = 64, **kwargs: Any) -> Iterator[Batch]:
        order = torch.randperm(512, generator=torch.Generator().manual_seed(0))
        yield torch.linspace(-1, 1, 512)[order].view(64, 8)[:batch_size], None


def test_a_collapsed_generator_is_told_once(caplog: pytest.LogCaptureFixture):
    health = Health(every=1, probe_every=2, patience=2)
    play(game(Constant(), max_iterations=12), health)
    assert found(health) == [("mode_collapse", 2, None)]
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert line.startswith("iteration 4: mode collapse since iteration 2: two fakes lie 0 times as far apart")
    assert "; try: lower optimizer.discriminator.lr" in line


def test_a_symptom_that_is_gone_is_told_once(caplog: pytest.LogCaptureFixture):
    generator = Recovering()
    gan = game(generator, max_iterations=12)
    generator.gan = [gan]
    health = Health(every=1, probe_every=1, patience=2)
    play(gan, health)
    assert found(health) == [("mode_collapse", 1, 6)]
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(lines) == 2 and lines[1] == "iteration 7: mode collapse is gone since iteration 6"


def test_a_discriminator_that_wins_and_leaves_no_gradient():
    """The game that Goodfellow et al. warn of in section 3: minimax, a strong discriminator, data far away."""
    health = Health(every=10, probe_every=10)
    gan = game(objectives={"adversarial": Minimax()}, max_iterations=150, rates=(1e-4, 0.05))
    play(gan, health, source=data(mean=8.0))
    assert "discriminator_wins" in [symptom for symptom, _, _ in found(health)]


def test_a_discriminator_that_wins_and_teaches_is_well():
    health = Health(every=10, probe_every=10)
    gan = game(max_iterations=60, rates=(1e-4, 0.05))
    play(gan, health, source=data(mean=8.0))
    assert found(health) == []


@pytest.mark.parametrize("critic", [False, True])
def test_a_discriminator_that_says_the_same_of_everything(critic: bool):
    health = Health(every=1, probe_every=1, critic=critic)
    play(game(discriminator=Even()), health)
    assert found(health) == [("discriminator_dead", 1, None)]


class Small(nn.Module):
    """A critic whose scores are as small as those of clipped weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1e-5))

    def forward(self, samples: Tensor) -> Tensor:
        return self.weight * samples[:, 0] + 0.001


def test_a_critic_of_small_scores_is_not_dead():
    health, doubtful = Health(every=1, probe_every=1, critic=True), Health(every=1, probe_every=1)
    for part in (health, doubtful):
        play(game(discriminator=Small(), objectives={"adversarial": Wasserstein()}, optimizer=SGD, rates=(0, 0)), part)
    assert found(health) == []
    assert found(doubtful) == [("discriminator_dead", 1, None)]  # as log-odds they would say nothing


def test_a_generator_that_is_stuck_at_the_ends_of_its_range():
    torch.manual_seed(0)
    generator = MLPGenerator(latent_dim=2, shape=[8], value_range=[-1, 1], width=16, depth=1, batch_norm=False)
    with torch.no_grad():
        list(generator.parameters())[-2].mul_(1e4)
    health = Health(every=1, probe_every=1)
    play(game(generator, MLPDiscriminator(shape=[8], width=16, depth=1)), health, source=Grey())
    assert "saturation" in [symptom for symptom, _, _ in found(health)]
    (real, _) = next(Grey().labelled_reference_batches(batch_size=32))
    at_ends = f"of the data's {100 * (real.abs() > 0.99).float().mean():.1f} %"
    assert at_ends in next(record["saw"] for record in health.records if record["symptom"] == "saturation")


def scripted(key: str, values: list[float], source: RealData | None = None, **settings: Any) -> Health:
    health = Health(every=100, probe_every=100, **settings)
    play(game(max_iterations=2 * len(values)), Scripted(key, values), health, source=source)
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


@pytest.mark.parametrize(("classes", "expected"), [(None, [("missing_classes", 2, None)]), ([2], []), ([2, 7], [])])
def test_classes_that_are_missing_are_those_of_the_data(classes: list[int] | None, expected: list[Any]):
    """Two of ten classes have an entropy of log 2 / log 10 = .3."""
    source = data()
    source.num_classes, source.classes = 10, classes  # type: ignore[attr-defined]
    assert found(scripted("val/class_entropy", [0.3, 0.3, 0.3], source)) == expected


def spectral_game(max_iterations: int = 6) -> GAN:
    torch.manual_seed(0)
    network = nn.Sequential(spectral_norm(nn.Linear(1, 8)), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 1))
    return game(discriminator=nn.Sequential(network, nn.Flatten(0)), max_iterations=max_iterations)


def test_the_game_is_bit_identical_with_and_without_it():
    watched, alone = spectral_game(), spectral_game()
    play(watched, Health(every=1, probe_every=1))
    play(alone)
    assert watched.generator.training and watched.discriminator.training
    for name, value in watched.state_dict().items():
        assert torch.equal(value, alone.state_dict()[name]), name


def test_what_was_seen_is_known_after_going_on(tmp_path: Path):
    values = [9.0, 5.0, 20.0, 8.0, 25.0, 7.0, 30.0, 9.0, 31.0, 8.0]

    def part(max_iterations: int, path: Path | None = None) -> Health:
        health = Health(every=1, probe_every=2, patience=3, stale=5)
        saving = Checkpoint(100, tmp_path)
        play(
            game(Constant(), max_iterations=max_iterations), Scripted("val/fid", values), health, saving, ckpt_path=path
        )
        return health

    whole = part(20)
    for half in (4, 16):
        part(half)
        again = part(20, tmp_path / "last.ckpt")
        assert again.state_dict() == whole.state_dict()
    assert found(whole) == [("mode_collapse", 2, None), ("oscillation", 14, None)]


@pytest.mark.parametrize("name", ["cyclegan", "projection", "pacgan", "infogan", "began", "r3gan"])
def test_games_of_any_kind_can_be_looked_at(name: str):
    with composed(f"experiment={name}", "max_iterations=2", "data.batch_size=8") as config:
        job = job_part(config)
        torch.manual_seed(0)
        gan, source = (instantiate(part, _convert_="all") for part in (job.gan, job.data))
    health = Health(every=1, probe_every=1, patience=1)
    play(gan, health, source=source)
    assert "diverged" not in [symptom for symptom, _, _ in found(health)]


def test_a_healthy_toy_raises_no_alarm():
    health = Health(every=20, probe_every=20)
    play(game(max_iterations=400), health)
    assert found(health) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("probe_every", 0),
        ("patience", 0),
        ("least_diversity", 1.5),
        ("vanishing", 0),
        ("swing", math.nan),
        ("stale", 3),
    ],
)
def test_mistakes_are_told(key: str, value: float):
    with pytest.raises(ValueError, match=f"callbacks.health.{key} must be"):
        Health(**{"every": 1, "probe_every": 1, key: value})  # type: ignore[arg-type]


def test_what_went_wrong_is_in_the_report(capsys: pytest.CaptureFixture[str]):
    course = Course(patience=1)
    for iteration, saw in ((10, "[seen] this"), (20, None), (30, "and that")):
        course.observe(iteration, {"oscillation": saw})
    print_health(course.records, Console(soft_wrap=True, highlight=False))
    assert capsys.readouterr().out.splitlines() == [
        "oscillation since iteration 10, gone since 20: [seen] this",
        f"oscillation since iteration 30: and that; try: {ADVICE['oscillation']}",
    ]
