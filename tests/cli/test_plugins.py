from __future__ import annotations

import pytest
from helpers.compose import answers

from gan_lightning.cli import plugins
from gan_lightning.cli.plugins import PLUGINS, is_installed, refuse_missing_plugins
from gan_lightning.utils.errors import UserError


def test_what_is_missing_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plugins, "is_installed", lambda package: package == "hydra-joblib-launcher")
    refuse_missing_plugins(["-m", "launcher=joblib", "loss=gan", "launcher=null"])
    with pytest.raises(UserError) as caught:
        refuse_missing_plugins(["launcher=slurm", "hydra/sweeper=optuna", "+launcher=joblib"])
    assert [problem.split(": ")[1] for problem in caught.value.problems] == [
        "pip install hydra-submitit-launcher",
        "pip install hydra-optuna-sweeper",
    ]


def test_a_package_that_is_there_and_one_that_is_not():
    assert is_installed("hydra-joblib-launcher")
    assert not is_installed("hydra-no-launcher")


@pytest.mark.parametrize("group", ["launcher", "hparams_search"])
def test_every_answer_names_its_package(group: str):
    assert all((group, answer) in PLUGINS for answer in answers(group))
