"""Answers of a job, lists included, against Hydra's own list of defaults."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from gan_lightning.runs.compose import hydra_job
from gan_lightning.utils.choices import job_choices
from gan_lightning.utils.conf import conf_dir

LISTS = ("regularizer", "wrapper", "metrics")
EXPERIMENTS = sorted(path.stem for path in Path(conf_dir(), "experiment").glob("*.yaml"))
LINES = [
    [],
    ["regularizer=[]"],
    ["regularizer=[r1,r2]", "metrics=[digits,kid]", "wrapper=[diffaugment]"],
    ["loss=wgan_gp"],
    ["loss=r3gan", "data=gaussian", "model=mlp"],
    ["loss=wgan_gp", "regularizer=[r1]"],
    ["experiment=digits", "loss=hinge"],
    ["experiment=self_conditioned", "metrics=digits"],
    ["data=gaussian", "model=mlp", "experiment=gaussian"],
]


def lists_of_hydra() -> dict[str, list[str]]:
    """Return the answers of groups that take lists, out of Hydra's whole list of defaults."""
    lines = [str(line) for line in HydraConfig.get().overrides.task]
    defaults = GlobalHydra.instance().config_loader().compute_defaults_list("train", lines, RunMode.RUN).defaults
    found: dict[str, list[str]] = defaultdict(list)
    for part in defaults:
        group, _, name = str(part.config_path).rpartition("/")
        if part.parent == "train" and group in LISTS:
            found[group].append(name)
    return found


@pytest.mark.parametrize("line", [*LINES, *([f"experiment={name}"] for name in EXPERIMENTS)], ids=" ".join)
def test_the_answers_are_those_that_hydra_composes(line: list[str], tmp_path: Path) -> None:
    needed = [f"data.root={tmp_path}"] if line == ["experiment=folder"] else []
    with hydra_job([*line, *needed]):
        choices, expected = job_choices(), lists_of_hydra()
    for group in LISTS:
        answer = choices.get(group)
        assert ([answer] if isinstance(answer, str) else answer or []) == expected[group]
    assert isinstance(choices.data, str) and "launcher" not in choices


def test_lists_that_an_experiment_brings_are_recorded() -> None:
    with hydra_job(["experiment=digits"]):
        assert job_choices().regularizer == ["r1"] and job_choices().wrapper == []
    with hydra_job(["experiment=self_conditioned"]):
        assert job_choices().metrics == ["memorization", "precision_recall", "digits"]


def test_those_of_a_folder_of_ones_own_too(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\ndefaults:\n  - digits\n  - override /wrapper: [diffaugment]\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    from gan_lightning.utils.composition import compose_checked
    from gan_lightning.utils.conf import hydra_at_conf

    with hydra_at_conf([f"file://{tmp_path}"]):
        config = compose_checked("train", ["experiment=mine"], hydra=True)
        HydraConfig.instance().set_config(config)
        assert (job_choices().wrapper, job_choices().regularizer) == (["diffaugment"], ["r1"])
