"""Many seeds as one program: each game is that of its own single run."""

from __future__ import annotations

import math
import signal
from pathlib import Path
from typing import Any

import pytest

import gan_lightning as gl
from gan_lightning.runs.checkpoints import read_checkpoint
from gan_lightning.runs.seed_statistics import statistics_of
from gan_lightning.runs.status import read_result, status_of
from gan_lightning.trainer.stacked import StackedGames
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.statistics import bootstrap_interval
from gan_lightning.utils.stop_signals import Interrupted

SHORT = ("logger=csv", "trainer.accelerator=cpu", "metrics.num_fakes=100", "evaluate_every=3", "callbacks.density=null")
GAMES = {
    "gaussian": ("experiment=gaussian",),
    "double backward": ("experiment=ring", "loss=wgan_gp", "model.generator.width=16", "model.discriminator.width=8"),
    "packs": ("experiment=ring", "variant=pacgan", "model.generator.width=16", "model.discriminator.width=8"),
    "clipped weights": ("experiment=gaussian", "loss=wgan", "clip_gradient_norm=0.1"),
}


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_each_game_equals_its_single_run(game: tuple[str, ...], tmp_path: Path) -> None:
    overrides = [*game, *SHORT, "max_iterations=6", "seed=3"]
    many = gl.train([*overrides, "seeds=2"], tmp_path / "many")
    stacked = read_checkpoint(tmp_path / "many" / "checkpoints" / "last.ckpt")["state_dict"]
    for index, seed in enumerate((3, 4)):
        single = gl.train([*overrides, f"seed={seed}"], tmp_path / f"{seed}")
        weights = read_checkpoint(tmp_path / f"{seed}" / "checkpoints" / "last.ckpt")["state_dict"]
        for name, weight in weights.items():
            if name.startswith(("generator.", "discriminator.", "averaged_generator.")):
                assert stacked[name][index].float().sub(weight.float()).abs().max() < 1e-4, name
        for name, value in many.result["per_seed"][str(seed)].items():
            assert value == pytest.approx(single.result["final"][name], rel=1e-2, abs=1e-2)


def test_a_resumed_run_ends_as_one_that_was_not_stopped(tmp_path: Path) -> None:
    overrides = ["experiment=gaussian", "schedule=constant", *SHORT, "seeds=2"]
    gl.train([*overrides, "max_iterations=6"], tmp_path / "whole")
    gl.train([*overrides, "max_iterations=3"], tmp_path / "parts")
    with pytest.raises(UserError, match="holds 2 games, one for each seed, and can only be resumed"):
        gl.load(tmp_path / "parts")
    gl.train([f"ckpt_path={tmp_path / 'parts'}", "max_iterations=6"])
    whole, parts = (read_checkpoint(tmp_path / run / "checkpoints" / "last.ckpt") for run in ("whole", "parts"))
    assert all(value.equal(parts["state_dict"][name]) for name, value in whole["state_dict"].items())
    assert (tmp_path / "whole/metrics.csv").read_text() == (tmp_path / "parts/metrics.csv").read_text()


def test_images_are_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="seeds=2 trains games of vectors"):
        gl.train(["data=mnist10k", "seeds=2"], tmp_path / "run")


def test_it_is_running_until_it_has_a_result_and_a_signal_saves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its numbers over the seeds have the interval of those over a sweep's."""
    seen, before = [], signal.getsignal(signal.SIGTERM)

    def step(games: StackedGames, real: object, original: Any = StackedGames.step) -> None:
        seen.append((read_result(tmp_path)["status"], status_of(tmp_path)))
        original(games, real)
        if games.iterations == 2:
            signal.raise_signal(signal.SIGTERM)

    overrides = ["experiment=gaussian", *SHORT, "evaluate_every=1", "seeds=3", "max_iterations=4"]
    with monkeypatch.context() as patch, pytest.raises(Interrupted) as stopped:
        patch.setattr(StackedGames, "step", step)
        gl.train(overrides, tmp_path)
    assert stopped.value.report.startswith("SIGTERM: saved iteration 2; to resume: ckpt_path=")
    assert set(seen) == {("running", "running")}
    assert signal.getsignal(signal.SIGTERM) == before and status_of(tmp_path) == "stopped"
    result = read_result(tmp_path)
    assert (result["iterations"], result["statistics"]["val/mean_error"]["n"]) == (2, 3)
    values = [numbers["val/mean_error"] for numbers in result["per_seed"].values()]
    assert result["statistics"]["val/mean_error"]["interval"] == list(bootstrap_interval(values))


def test_seeds_without_a_number_are_left_out() -> None:
    found = statistics_of([{"a": 1.0, "b": math.nan}, {"a": 3.0, "b": 2.0}, {"a": math.inf, "b": math.nan}])
    assert found["a"] == {"n": 2, "mean": 2.0, "std": math.sqrt(2), "interval": (1.0, 3.0), "diverged": 1}
    assert found["b"] == {"n": 1, "mean": 2.0, "std": None, "interval": None, "diverged": 2}
