from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.compose import composed, job_part
from helpers.jobs import train
from helpers.run_script import ROOT, TINY, run_script
from helpers.watched_games import found, game, play
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor

from gan_lightning.callbacks.checkpoint import Checkpoint, NotSavedError
from gan_lightning.callbacks.health import LOOKS_OF_SCALED, DivergedError, Health
from gan_lightning.evaluation.evaluator import Evaluator
from gan_lightning.game import Objective, Round
from gan_lightning.losses.adversarial import NonSaturating
from gan_lightning.utils.errors import WorkError


class Turning(Objective):
    """Adds nothing to the generator's loss up to the turn `bad`, and what is no number after it."""

    def __init__(self, bad: int) -> None:
        super().__init__()
        self.bad = bad

    def generator(self, round: Round) -> Tensor:
        return round.fake.mean() * (math.nan if round.discriminator_updates > self.bad else 0.0)


def test_a_game_that_diverges_is_stopped_and_its_last_good_state_stays(tmp_path: Path):
    objectives = {"adversarial": NonSaturating(), "turning": Turning(4)}
    health = Health(every=3, probe_every=100)
    with pytest.raises(DivergedError, match=r"at iteration 6 a number in the generator is not finite; .*last.ckpt is"):
        play(game(objectives=objectives, max_iterations=20), health, Checkpoint(1, tmp_path))
    assert found(health) == [("diverged", 6, None)]
    last = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert last["game"]["iterations"] == 4
    assert all(value.isfinite().all() for value in last["state_dict"].values())
    play(game(objectives={"adversarial": NonSaturating(), "turning": Turning(99)}), ckpt_path=tmp_path / "last.ckpt")


def test_without_the_callback_the_last_good_state_stays_too(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    objectives = {"adversarial": NonSaturating(), "turning": Turning(4)}
    with pytest.raises(NotSavedError, match="last.ckpt was not saved, as a number in the generator is not finite"):
        play(game(objectives=objectives, max_iterations=7), Checkpoint(1, tmp_path))
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["game"]["iterations"] == 4
    assert len([record for record in caplog.records if "was not saved" in record.getMessage()]) == 1


class Infinite(Objective):
    """A loss of infinity that moves no weight."""

    def discriminator(self, round: Round) -> Tensor:
        return round.real_logits.mean() * 0 + math.inf


def test_an_infinite_loss_ends_the_run_too():
    gan = game(objectives={"adversarial": NonSaturating(), "infinite": Infinite()})
    with pytest.raises(DivergedError, match="iteration 1 the loss discriminator/infinite is not finite; nothing was"):
        play(gan, Health(every=1, probe_every=1))


class Passing(Objective):
    """A loss of infinity at the turns in `bad`, that moves no weight."""

    def __init__(self, bad: range) -> None:
        super().__init__()
        self.bad = bad

    def discriminator(self, round: Round) -> Tensor:
        return round.real_logits.mean() * 0 + (math.inf if round.discriminator_updates in self.bad else 0.0)


def play_scaled(objective: Objective) -> Health:
    """Under a gradient scaler, which leaves out a step that it cannot take."""
    health = Health(every=1, probe_every=100)
    scaler = MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu"))
    play(game(objectives={"adversarial": NonSaturating(), "one": objective}, max_iterations=9), health, plugins=scaler)
    return health


def test_a_scaler_may_get_over_a_bad_loss_but_not_over_one_that_stays():
    assert found(play_scaled(Passing(range(2, 2 + LOOKS_OF_SCALED - 1)))) == []
    at = f"iteration {2 + LOOKS_OF_SCALED} the loss discriminator/one is not finite"
    with pytest.raises(DivergedError, match=at):
        play_scaled(Passing(range(2, 99)))


class Poisoned(Objective):
    """Keeps a mean of what was no number for once, and leaves it out of its loss."""

    level: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("level", torch.zeros(()))

    def after_discriminator_step(self, round: Round) -> None:
        self.level.add_(math.nan if round.discriminator_updates == 1 else 0.0)


def test_a_poisoned_objective_ends_the_run_with_a_scaler_or_without():
    with pytest.raises(DivergedError, match="iteration 2 a number in the objective poisoned is not finite"):
        play(game(objectives={"adversarial": NonSaturating(), "poisoned": Poisoned()}), Health(1, 100))
    with pytest.raises(DivergedError, match=f"iteration {1 + LOOKS_OF_SCALED} a number in the objective one is not"):
        play_scaled(Poisoned())


# Whole processes

DIVERGING = (
    *TINY,
    "logger=csv",
    "callbacks.density=null",
    *("optimizer.lr=1e38", "optimizer.generator.lr=1e38", "~loss.objectives.r1"),
    *("model.generator.activation=Tanh", "model.discriminator.activation=Tanh"),  # which stay finite for a while
    "max_iterations=9",
    "callbacks.health.every=5",
)


def assert_stopped(done: Any, run: Path) -> None:
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("diverged")]
    assert "at iteration 5 a number in the generator is not finite; run/checkpoints/last.ckpt is from before" in line
    result = json.loads((run / "result.json").read_text())
    assert (result["status"], result["error"]) == ("failed", line)
    assert [record["symptom"] for record in result["health"]] == ["diverged"]
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert all(value.isfinite().all() for value in last["state_dict"].values())
    assert last["game"]["iterations"] < 5


def test_a_run_that_diverges_ends_with_a_sentence(tmp_path: Path):
    done = run_script(tmp_path, "train.py", *DIVERGING, "checkpoint_every=1", "hydra.run.dir=run")
    assert_stopped(done, tmp_path / "run")


def test_a_metric_that_fails_on_infinite_weights_is_reported_as_divergence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def measure(*args: Any) -> dict[str, float]:
        raise RuntimeError("eigenvalues did not converge")

    monkeypatch.setattr(Evaluator, "evaluate_gan", measure)
    settings = (
        *("experiment=gaussian", "logger=csv", "callbacks.density=null", "callbacks.health=null"),
        *("optimizer.lr=1e38", "max_iterations=9", "evaluate_every=5", "data.reference_size=200"),
    )
    with composed(*settings, directory=tmp_path) as config, pytest.raises(WorkError, match="eigenvalues") as error:
        train(job_part(config))
    assert str(error.value).startswith("diverged: at iteration 5 a number in the generator is not finite (RuntimeError")
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["status"], result["error"]) == ("failed", str(error.value))


@pytest.mark.slow
def test_two_ranks_stop_together(tmp_path: Path):
    settings = ("checkpoint_every=1", "hydra.run.dir=run", "trainer.devices=2")
    assert_stopped(run_script(tmp_path, "train.py", *DIVERGING, *settings), tmp_path / "run")


class OfAnotherRank(Objective):
    """A loss of infinity on rank 1 alone, that moves no weight."""

    def discriminator(self, round: Round) -> Tensor:
        return round.real_logits.mean() * 0 + (math.inf if torch.distributed.get_rank() == 1 else 0.0)


@pytest.mark.slow
def test_all_ranks_stop_where_one_has_a_bad_loss(tmp_path: Path):
    """No weight is touched by it, so that rank 0 would continue if it decided alone."""
    objective = "+loss.objectives.other._target_=test_diverging.OfAnotherRank"
    settings = ("callbacks.health.every=5", "max_iterations=9", "logger=csv", "callbacks.density=null")
    done = run_script(
        tmp_path,
        "train.py",
        *(*TINY, *settings, objective, "trainer.devices=2", "hydra.run.dir=run"),
        PYTHONPATH=os.pathsep.join([str(Path(__file__).parent), str(ROOT / "tests"), str(ROOT)]),
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "failed"
    assert result["error"].startswith("diverged: at iteration 5 a number of another rank is not finite")
    assert [(record["symptom"], record["since"]) for record in result["health"]] == [("diverged", 5)]
