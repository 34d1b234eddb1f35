"""Games that go wrong are reported."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.watched_games import Constant, Scripted, data, found, game, play
from lightning import Callback, Trainer
from torch import Tensor, nn

from gan_lightning.callbacks.checkpoint import Checkpoint
from gan_lightning.callbacks.health import Health
from gan_lightning.data import toys
from gan_lightning.data.base import RealData, rank_slice
from gan_lightning.game import Batch, Latent
from gan_lightning.gan import GAN
from gan_lightning.losses.adversarial import Minimax, NonSaturating, Wasserstein
from gan_lightning.models.mlp import MLPDiscriminator, MLPGenerator
from gan_lightning.variants.pacgan import PackedDiscriminator


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

    def labelled_reference_batches(
        self, device: torch.device | str, rank: int = 0, world_size: int = 1, batch_size: int = 32
    ) -> Iterator[Batch]:
        order = torch.randperm(512, generator=torch.Generator().manual_seed(0))
        rows = rank_slice(self.reference_size, rank, world_size)
        for samples in torch.linspace(-1, 1, 512)[order].view(64, 8)[rows.start : rows.stop].split(batch_size):
            yield samples, None


def test_a_collapsed_generator_is_reported_once(caplog: pytest.LogCaptureFixture):
    health = Health(every=1, probe_every=2, patience=2, grace_images=0)
    play(game(Constant(), max_iterations=12), health)
    assert found(health) == [("mode_collapse", 2, None)]
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert line.startswith("iteration 4: mode collapse since iteration 2: two fakes lie 0 times as far apart")
    assert "; try: lower optimizer.discriminator.lr" in line


def test_networks_at_their_start_have_their_time():
    """32 images an iteration: the grace of 200 ends at iteration 7, and three looks are the patience."""
    health = Health(every=1, probe_every=1, patience=3, grace_images=200)
    play(game(Constant(), max_iterations=12), health)
    assert found(health) == [("mode_collapse", 7, None)]
    assert found(played_for(6, Health(every=1, probe_every=1, patience=1, grace_images=200))) == []


def played_for(max_iterations: int, health: Health) -> Health:
    play(game(Constant(), max_iterations=max_iterations), health)
    return health


class Collapsing(Recovering):
    """Makes many points while the `gan` has played fewer than 6 iterations, and then one."""

    def forward(self, latent: Latent) -> Tensor:
        return self.point + (self.gan[0].iterations < 6) * latent.z[:, :1]


def collapsing(max_iterations: int, *callbacks: Callback, ckpt_path: Path | None = None) -> Health:
    generator = Collapsing()
    generator.gan = [gan := game(generator, max_iterations=max_iterations)]
    health = Health(every=1, probe_every=1, patience=2, grace_images=10**9)
    play(gan, health, *callbacks, ckpt_path=ckpt_path)
    return health


def test_what_was_well_and_collapses_has_no_grace(tmp_path: Path):
    assert found(collapsing(9)) == [("mode_collapse", 6, None)]
    collapsing(6, Checkpoint(100, tmp_path))  # ill but once, and that it was well before is in the checkpoint alone
    assert found(collapsing(9, ckpt_path=tmp_path / "last.ckpt")) == [("mode_collapse", 6, None)]


def test_a_symptom_that_is_gone_is_reported_once(caplog: pytest.LogCaptureFixture):
    generator = Recovering()
    gan = game(generator, max_iterations=12)
    generator.gan = [gan]
    health = Health(every=1, probe_every=1, patience=2, grace_images=0)
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


@pytest.mark.parametrize("critic", [False, True])
def test_a_discriminator_that_says_the_same_of_everything(critic: bool):
    health = Health(every=1, probe_every=1)
    play(game(discriminator=Even(), objectives={"adversarial": Wasserstein() if critic else NonSaturating()}), health)
    assert found(health) == [("discriminator_dead", 1, None)]


def test_a_generator_that_is_stuck_at_the_ends_of_its_range():
    torch.manual_seed(0)
    generator = MLPGenerator(latent_dim=2, shape=[8], value_range=[-1, 1], width=16, depth=1, batch_norm=False)
    with torch.no_grad():
        list(generator.parameters())[-2].mul_(1e4)
    health = Health(every=1, probe_every=1, grace_images=0)
    play(game(generator, MLPDiscriminator(shape=[8], width=16, depth=1)), health, source=Grey())
    assert "saturation" in [symptom for symptom, _, _ in found(health)]
    real = torch.cat(list(Grey().reference_batches("cpu")))[::2]  # 32 of 64
    at_ends = f"of the data's {100 * (real.abs() > 0.99).float().mean():.1f} %"
    assert at_ends in next(record["saw"] for record in health.records if record["symptom"] == "saturation")


def test_both_rhythms_are_kept():
    """Whatever the other one is, and wherever the game would pause by itself."""

    class Noting(Health):
        def __init__(self) -> None:
            super().__init__(every=4, probe_every=5)
            self.looks: list[int] = []
            self.probes: list[int] = []

        def stop_if_diverged(self, trainer: Trainer, gan: GAN, weights: Mapping[str, float]) -> None:
            self.looks.append(gan.iterations)

        def examined(self, gan: GAN, real: Batch) -> dict[str, str | None]:
            self.probes.append(gan.iterations)
            return {}

    health = Noting()
    gan = game(max_iterations=14)
    gan.discriminator_steps = 2
    play(gan, health)
    assert (health.looks, health.probes) == ([4, 5, 8, 10, 12, 14], [5, 10])
    assert [health.next_iteration(iterations) for iterations in (0, 4, 5, 8, 10, 19)] == [4, 5, 8, 10, 12, 20]


@pytest.mark.parametrize(
    ("samples", "batch_size", "micro_batches", "looked_at"),
    [(100, 64, 1, 32), (31, 32, 1, 30), (100, 16, 2, 8), (100, 8, 4, 0), (3, 4, 1, 0)],
    ids=["count", "few data", "micro-batch", "less than two packs", "next to no data"],
)
def test_what_is_looked_at_are_whole_packs_and_no_more_than_a_batch(
    samples: int, batch_size: int, micro_batches: int, looked_at: int
):
    source = toys.ring(8, 1.0, 0.01, shape=[2], batch_size=batch_size, seed=0, reference_size=samples)
    generator = MLPGenerator(latent_dim=2, shape=[2], value_range=None, width=8, depth=1, batch_norm=False)
    gan = game(generator, PackedDiscriminator(MLPDiscriminator(shape=[4], width=8, depth=1), 2), max_iterations=2)
    health = Health(every=1, probe_every=1)
    gan.micro_batches = micro_batches
    play(gan, health, source=source)
    assert (0 if health.real is None else len(health.real[0])) == looked_at


def test_symptoms_seen_are_known_after_resuming(tmp_path: Path):
    values = [9.0, 5.0, 20.0, 8.0, 25.0, 7.0, 30.0, 9.0, 31.0, 8.0]

    def part(max_iterations: int, path: Path | None = None) -> Health:
        health = Health(every=1, probe_every=2, patience=3, stale=5, grace_images=0)
        saving, evaluation = Checkpoint(100, tmp_path), Scripted("val/fid", values)
        evaluation.monitor = "val/fid"
        play(game(Constant(), max_iterations=max_iterations), evaluation, health, saving, ckpt_path=path)
        return health

    whole = part(20)
    for half in (4, 16):
        part(half)
        again = part(20, tmp_path / "last.ckpt")
        assert again.state_dict() == whole.state_dict()
    assert found(whole) == [("mode_collapse", 2, None), ("oscillation", 14, None)]


def test_rates_out_of_any_scale_are_reported_within_a_few_iterations(caplog: pytest.LogCaptureFixture):
    health = Health(every=25, probe_every=250)
    gan = game(max_iterations=3, rates=(1e6, 1e6))
    play(gan, health)
    assert found(health) == [("weights_out_of_scale", 3, None)]
    assert any("weights out of scale since iteration 3: a weight of the" in line for line in caplog.messages)


class Escaping(Recovering):
    """Makes points that leave the data at 20 units an iteration."""

    def forward(self, latent: Latent) -> Tensor:
        return self.point + latent.z[:, :1] + 20 * self.gan[0].iterations


def test_fakes_that_leave_the_data_are_reported_at_once(tmp_path: Path):
    """At the start they lie about 3 / .56 = 5 times as far as two data, and pass ten times that at iteration 2."""

    def escaping(max_iterations: int, *callbacks: Callback, path: Path | None = None) -> Health:
        generator = Escaping()
        generator.gan = [gan := game(generator, max_iterations=max_iterations)]
        health = Health(every=1, probe_every=1)
        play(gan, health, *callbacks, ckpt_path=path)
        return health

    whole = escaping(6)
    assert whole.start_distance == pytest.approx(5.3, rel=0.2)
    assert ("samples_out_of_scale", 2, None) in found(whole)
    escaping(1, Checkpoint(100, tmp_path))
    assert escaping(6, path=tmp_path / "last.ckpt").start_distance == whole.start_distance


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
def test_mistakes_are_refused(key: str, value: float):
    settings: dict[str, Any] = {"every": 1, "probe_every": 1, key: value}
    with pytest.raises(ValueError, match=f"callbacks.health.{key} must be"):
        Health(**settings)
