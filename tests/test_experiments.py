"""Every experiment is trained two iterations, and so is every answer to the questions that make a game."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
from helpers.compose import CONF, SMALL, STAND_INS, answers, composed, job_part
from helpers.jobs import train
from omegaconf import OmegaConf

QUICK = (*SMALL, "metrics.num_fakes=200", "model.generator.width=8", "model.discriminator.width=8")
TOY = ("experiment=gaussian", "callbacks.density.count=200", "data.reference_size=200")
ENERGIES = ("data=gaussian", "prior.dim=1", "model=autoencoder", "callbacks=toy", *TOY[1:])
IMAGES = ("trainer.precision=32-true",)
OF_IMAGES = ("consistency",)
"""Regularizers that are for images alone."""


def run(directory: Path, *overrides: str) -> dict:
    with composed(*overrides, directory=directory) as config:
        train(job_part(config))
    result = json.loads((directory / "result.json").read_text())
    assert result["status"] == "finished"
    assert result["iterations"] == 2
    return result


@pytest.mark.parametrize("name", answers("experiment"))
def test_every_experiment_trains_and_leaves_everything_behind(name: str, tmp_path: Path):
    result = run(tmp_path, f"experiment={name}", *STAND_INS.get(name, ()), *SMALL, "metrics.num_fakes=200")
    assert result["final"]
    assert all(math.isfinite(value) for value in result["final"].values())
    for file in ("config.yaml", "overrides.yaml", "environment.json", "metrics.csv"):
        assert (tmp_path / file).is_file()
    assert {file.name for file in (tmp_path / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open(newline="")))
    assert [row["iteration"] for row in rows if row["discriminator/adversarial"]] == ["1", "2"]
    assert list(tmp_path.rglob("*.png"))
    assert list(tmp_path.rglob("*.gif"))


@pytest.mark.parametrize("name", answers("loss"))
def test_every_loss_plays(name: str, tmp_path: Path):
    energies = "energy" in OmegaConf.load(CONF / "loss" / f"{name}.yaml")
    result = run(tmp_path, *(ENERGIES if energies else TOY), f"loss={name}", *QUICK)
    assert result["discriminator_updates"] % result["iterations"] == 0


@pytest.mark.parametrize("name", answers("regularizer"))
def test_every_regularizer_plays_and_is_logged_by_its_name(name: str, tmp_path: Path):
    run(tmp_path, *(IMAGES if name in OF_IMAGES else TOY), f"regularizer=[{name}]", *QUICK)
    last = list(csv.DictReader((tmp_path / "metrics.csv").open(newline="")))[-1]
    terms = [last.get(f"{player}/{name}") for player in ("discriminator", "generator")]
    assert any(terms)
    assert all(math.isfinite(float(term)) for term in terms if term)


@pytest.mark.parametrize("group", ["optimizer", "schedule"])
def test_every_way_to_learn_plays(group: str, tmp_path: Path):
    for name in answers(group):
        run(tmp_path / name, *TOY, f"{group}={name}", *QUICK)


@pytest.mark.parametrize("name", answers("prior"))
def test_every_prior_plays(name: str, tmp_path: Path):
    run(tmp_path, *IMAGES, f"prior={name}", *QUICK)


@pytest.mark.parametrize("name", answers("variant"))
def test_every_variant_plays(name: str, tmp_path: Path):
    run(tmp_path, *IMAGES, f"variant={name}", *QUICK)
