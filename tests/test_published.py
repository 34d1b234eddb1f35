"""The paper's settings that experiments state: their headers, the command and its page agree with them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.compose import CONF, answers

from gan_lightning.cli.published import (
    INTRODUCTION,
    KEYS,
    Difference,
    differences,
    main,
    published_block,
    published_experiments,
    table,
)
from gan_lightning.runs.compose import hydra_job

EXPERIMENTS = published_experiments()
OF_NO_PAPER = {*("digits", "folder", "self_conditioned", "shapes", "shapes_infogan", "shapes_self_conditioned")}
"""Combinations of several papers."""
STATED = {"source", "code", "network", "optimizer", "lr", "betas", "schedule", "regularizer", "ema", "settings", *KEYS}


def header(name: str) -> str:
    """Return the comment above an experiment's settings, on one line."""
    lines = (CONF / "experiment" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    comment = [line.lstrip("# ") for line in lines[: lines.index("defaults:")]]
    return " ".join(comment)


def test_every_experiment_that_follows_a_paper_states_its_settings():
    assert set(EXPERIMENTS) == set(answers("experiment")) - OF_NO_PAPER
    for name in EXPERIMENTS:
        block = published_block(name)
        assert {"source", "network"} < set(block) <= STATED, name


def test_the_page_is_what_the_command_writes(capsys: pytest.CaptureFixture[str]):
    page = Path(CONF.parent, "docs/published.md").read_text(encoding="utf-8")
    assert re.findall("^## (.+)$", page, re.MULTILINE) == EXPERIMENTS
    main([])
    assert capsys.readouterr().out == page
    assert page.startswith(INTRODUCTION)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_header_names_the_source_and_what_the_paper_has_not(name: str):
    authors, year = re.match(r"(?:Stanford )?(\S+)[^\d]*(\d{4}|,)", published_block(name)["source"]).groups()  # type: ignore[union-attr]
    assert authors.strip(",") in header(name)
    if year.isdigit():
        assert year in header(name)
    changed = header(name).partition("Changed:")[2]
    own = (CONF / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
    found = {row.setting: row for row in differences(name)}
    if found.get("schedule") and "\npublished:" in own:
        assert "rates that fall on a line" in changed
    if "R1" not in changed and "\npublished:" in own:
        row = found.get("regularizer")
        assert row is None or "r1" not in row.experiment
    assert "Measured: benchmarks" not in header(name)


def test_differences_are_those_of_the_configuration():
    """BigGAN's own setting for CIFAR-10 differs in what its header says alone; WGAN's rate is ten times the paper's."""
    assert [row.setting for row in differences("biggan_cifar10")] == ["network"]
    assert Difference("lr of the generator", 5e-5, 5e-4) in differences("wgan")
    assert "| batch_size | 100 | 64 |" in table("cgan")
    assert Difference("batch_size", 128, 64) in differences("pacgan"), "64 packs of two"


@pytest.mark.parametrize("data", ["ring", "grid"])
def test_weights_of_mixtures_start_as_the_authors_do(data: str):
    with hydra_job(["experiment=ring_pacgan", f"data={data}"]) as config:
        assert config.model.generator.init_std == config.model.discriminator.init_std == 0.02


def test_the_code_that_values_were_compared_with_is_named():
    assert "Compared with the code in github.com/fjxmlzn/PacGAN." in table("ring")
    assert "Compared" not in table("cgan")


def test_an_experiment_of_no_paper_is_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exit:
        main(["digits"])
    assert exit.value.code == 2
    assert "digits: no experiment with a paper's settings" in capsys.readouterr().err
