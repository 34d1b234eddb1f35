"""`--help` says what each key means, from the comments beside the keys in conf/."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.compose import CONF, GROUPS, answers
from helpers.run_script import run_without_torch

from gan_lightning.cli.help import group_keys, header, help_text, keys_of, summary
from gan_lightning.utils.conf import hydra_at_conf
from gan_lightning.utils.errors import UserError

COMMANDS = {"train.py": "train", "eval.py": "eval", "sample.py": "sample"}


def one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("name", COMMANDS.values())
def test_every_key_of_a_command_has_its_words(name: str):
    without = [key.name for key in keys_of(CONF / f"{name}.yaml") if not key.comment]
    assert [key for key in without if not key.startswith("hydra.")] == []


@pytest.mark.parametrize("group", [group for group in GROUPS if group != "experiment"])
def test_every_key_of_a_group_has_its_words(group: str):
    without = {
        choice: [key.name for key in group_keys(CONF / group, choice) if not key.comment] for choice in answers(group)
    }
    assert {choice: keys for choice, keys in without.items() if keys} == {}


@pytest.mark.parametrize("group", GROUPS)
def test_every_choice_has_a_summary(group: str):
    for choice in answers(group):
        assert len(summary(CONF / group / f"{choice}.yaml")) > 10, choice


@pytest.mark.parametrize("script", COMMANDS)
def test_help_shows_each_comment_that_the_file_has(script: str, tmp_path: Path):
    """The comments are found here line by line, where help parses YAML."""
    done = run_without_torch(tmp_path, script, "--help")
    assert done.returncode == 0 and not done.stderr
    shown = one_line(done.stdout)
    text = (CONF / f"{COMMANDS[script]}.yaml").read_text().partition("\nhydra:")[0]
    commented = re.findall(r"^ {0,2}(?:- )?(\w+): \S+\s+# (.+)$", text, re.MULTILINE)
    assert len(commented) > 12
    for key, comment in commented:
        assert re.search(rf"\b{key}(=\S*)? {re.escape(one_line(comment))}", shown), key
    assert header(CONF / f"{COMMANDS[script]}.yaml") in done.stdout


def test_help_shows_the_keys_and_values_of_the_choices_on_the_command_line():
    with hydra_at_conf():
        shown = one_line(help_text("train", ["model=biggan", "seed=7", "regularizer=[r1]", "optimizer.lr=1,2"]))
    assert "* biggan BigGAN (Brock et al. 2019)" in shown and "* dcgan" not in shown
    assert "model.generator.embedding_dim=32 numbers for a class" in shown
    assert "prior.noise.dim=120 " in shown, "model=biggan selects the prior"
    assert "seed=7 of weights" in shown
    assert "loss.objectives.r1.gamma=0.2" in shown
    assert "spectral_norm" not in shown


def test_a_comment_is_carried_on_in_the_lines_below_it(tmp_path: Path):
    file = tmp_path / "some.yaml"
    file.write_text("# Head.\na: '#'   # one,\n         # two\n# no part of it\nb:\n  c: [1,2]  # three\n  d: ${a}\n")
    assert [tuple(key) for key in keys_of(file)] == [("a", "#", "one, two"), ("b.c", [1, 2], "three")]


def test_help_shows_choices_of_ones_own(tmp_path: Path):
    (tmp_path / "data").mkdir()
    text = "# Stripes of two widths. For a first look.\n_target_: mydata.Stripes\nshape: [1]\nwidth: 3  # of a stripe\n"
    (tmp_path / "data" / "stripes.yaml").write_text(text)
    with hydra_at_conf([f"file://{tmp_path}"]):
        shown = one_line(help_text("train", ["data=stripes"]))
    assert "* stripes Stripes of two widths" in shown and " mnist10k The first" in shown
    assert "data.width=3 of a stripe" in shown


def test_help_of_a_choice_that_is_not_there_is_one_sentence():
    with hydra_at_conf(), pytest.raises(UserError, match="nope"):
        help_text("train", ["model=nope"])
