"""Every experiment trains whole and resumes to the bit; every answer to the questions that make a game trains, too."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.compose import CONF, SMALL, STAND_INS, answers, composed, job_part
from helpers.jobs import train
from helpers.tiny_gan import Learned, quiet_trainer
from hydra.utils import instantiate
from lightning import Callback, Trainer
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from gan_lightning.gan import GAN
from gan_lightning.sweeps.collect import read_run

ITERATIONS = 3
WHOLE = (
    *SMALL,
    f"max_iterations={ITERATIONS}",
    *(f"{what}_every={ITERATIONS}" for what in ("evaluate", "samples", "checkpoint")),
    *("metrics.num_fakes=200", "data.batch_size=8", "trainer.precision=32-true", "trainer.channels_last=false"),
)
ZERO_GRADIENT = {
    **dict.fromkeys(("rpgan", "r3gan", "wgan", "wgan_gp"), {"discriminator.score.1.bias"}),
    **dict.fromkeys(("ring", "grid"), {"discriminator.score.bias"}),
}
"""Weights whose gradient is 0, up to rounding, by the theory: a constant cancels in differences of scores."""


def job_of(*overrides: str, directory: Path) -> DictConfig:
    with composed(*overrides, directory=directory) as config:
        return job_part(config)


def play(job: DictConfig, *callbacks: Callback, ckpt_path: Path | None = None) -> tuple[GAN, Trainer]:
    """Train the game of a job alone, without its callbacks, loggers and files."""
    torch.manual_seed(0)
    gan: GAN = instantiate(job.gan, _convert_="all")
    trainer = quiet_trainer(callbacks=list(callbacks))
    trainer.fit(gan, datamodule=instantiate(job.data, _convert_="all"), ckpt_path=ckpt_path)
    return gan, trainer


def state_of(path: Path) -> dict[str, Any]:
    """Return all that a checkpoint keeps of the game, by dotted names."""
    content = torch.load(path, weights_only=True)
    return dict(leaves({name: content[name] for name in ("state_dict", "optimizer_states", "lr_schedulers", "game")}))


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every tensor and number within `value`, with where it stands."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, f"{name}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from leaves(part, f"{name}.{index}")
    else:
        yield name, value


@pytest.mark.parametrize("name", answers("experiment"))
def test_every_experiment_trains_every_weight_leaves_its_files_and_resumes_to_the_bit(name: str, tmp_path: Path):
    watch = (
        "+callbacks.watch._target_=helpers.watched_games.Watch",
        f"+callbacks.watch.folder='{tmp_path}'",
        f"+callbacks.watch.iteration={ITERATIONS - 1}",
    )
    run = tmp_path / "run"
    with composed(f"experiment={name}", *WHOLE, *STAND_INS.get(name, ()), *watch, directory=run) as config:
        job = job_part(config)
        train(job)

    result = json.loads((run / "result.json").read_text())
    assert (result["status"], result["iterations"]) == ("finished", ITERATIONS)
    assert result["final"]
    assert all(math.isfinite(value) for value in result["final"].values())
    for file in ("config.yaml", "overrides.yaml", "environment.json"):
        assert (run / file).is_file()
    assert {file.name for file in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    rows = list(csv.DictReader((run / "metrics.csv").open(newline="")))
    assert [row["iteration"] for row in rows if row["discriminator/adversarial"]] == ["1", "2", "3"]
    assert list(run.rglob("*.png"))
    assert list(run.rglob("*.gif"))

    watched = json.loads((tmp_path / "watched.json").read_text())
    assert set(watched["learned"]) >= set(watched["trainable"]) - ZERO_GRADIENT.get(name, set())
    assert {key.split(".")[0] for key in watched["moved"]} == {"generator", "discriminator"}

    _, resumed = play(job, ckpt_path=tmp_path / "watched.ckpt")
    resumed.save_checkpoint(tmp_path / "resumed.ckpt")
    wanted, found = state_of(run / "checkpoints" / "last.ckpt"), state_of(tmp_path / "resumed.ckpt")
    assert set(found) == set(wanted)
    for key, value in wanted.items():
        same = torch.equal(found[key], value) if isinstance(value, Tensor) else found[key] == value
        assert same, key


# Parts alone

NARROW = ("max_iterations=2", "data.batch_size=8", "model.generator.width=8", "model.discriminator.width=8")
TOY = ("experiment=gaussian",)
ENERGIES = ("data=gaussian", "prior.dim=1", "model=autoencoder", "callbacks=toy", "metrics=gaussian")
OF_IMAGES = ("consistency",)
"""Regularizers that are for images alone."""


def play_part(*overrides: str, directory: Path) -> GAN:
    learned = Learned()
    gan, _ = play(job_of(*overrides, *NARROW, directory=directory), learned)
    assert gan.iterations == 2
    assert all(loss.isfinite() for loss in gan.losses.values())
    assert {name.split(".")[0] for name in learned.names} == {"generator", "discriminator"}
    return gan


@pytest.mark.parametrize("name", answers("loss"))
def test_every_loss_trains(name: str, tmp_path: Path):
    energies = "energy" in OmegaConf.load(CONF / "loss" / f"{name}.yaml")
    gan = play_part(*(ENERGIES if energies else TOY), f"loss={name}", directory=tmp_path)
    assert gan.discriminator_updates % gan.iterations == 0


@pytest.mark.parametrize("name", answers("regularizer"))
def test_every_regularizer_trains_and_is_logged_by_its_name(name: str, tmp_path: Path):
    gan = play_part(*(() if name in OF_IMAGES else TOY), f"regularizer=[{name}]", directory=tmp_path)
    assert {f"discriminator/{name}", f"generator/{name}"} & set(gan.losses)


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group in ("optimizer", "schedule") for name in answers(group)]
)
def test_every_optimizer_and_schedule_trains(group: str, name: str, tmp_path: Path):
    play_part(*TOY, f"{group}={name}", directory=tmp_path)


@pytest.mark.parametrize("name", answers("prior"))
def test_every_prior_trains(name: str, tmp_path: Path):
    play_part(f"prior={name}", directory=tmp_path)


# Debug runs


@pytest.mark.parametrize("name", answers("debug"))
def test_every_debug_run_trains_into_a_directory_of_its_own_kind_and_is_marked(name: str, tmp_path: Path):
    overrides = ("experiment=ring", f"debug={name}", *SMALL[1:], "data.reference_size=200", "metrics.num_fakes=200")
    with composed(*overrides, "logger=csv", directory=tmp_path) as config:
        assert str(config.hydra.run.dir).startswith("outputs/debug/")
        result = train(job_part(config))
    assert (result["status"], result["iterations"]) == ("finished", 2)
    assert read_run(tmp_path).debug == name
    assert (tmp_path / "fit-profile.txt").is_file() == (name == "profile")
    assert bool(result["final"]) == (name != "profile")


@pytest.mark.parametrize(("name", "sent"), [("fast", False), ("profile", False), ("overfit", True)])
def test_debug_runs_that_are_short_leave_wandb_out(name: str, sent: bool):
    with composed("experiment=digits", f"debug={name}") as config:
        assert ("wandb" in config.logger) is sent
        assert config.max_iterations <= 100 or sent
