"""A run says that it is in progress from its start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.compose import composed, job_part
from helpers.jobs import train
from helpers.run_script import TINY

from gan_lightning.callbacks.evaluation import Evaluation
from gan_lightning.runs.status import status_of
from gan_lightning.utils.errors import UserError

QUIET = (*TINY, "logger=csv", "callbacks.density=null", "callbacks.progress=null")


def trained(directory: Path, *overrides: str) -> dict[str, Any]:
    with composed(*QUIET, *overrides, directory=directory) as config:
        return train(job_part(config))


def test_the_result_says_running_until_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[tuple[str, str, str]] = []
    evaluate = Evaluation.run

    def spy(*arguments: Any) -> None:
        content = json.loads((tmp_path / "result.json").read_text())
        seen.append((content["status"], content["monitor"], status_of(tmp_path)))
        evaluate(*arguments)

    monkeypatch.setattr(Evaluation, "run", spy)
    trained(tmp_path)
    assert seen == [("running", "val/wasserstein1", "running")] * 2
    assert status_of(tmp_path) == "finished"


def test_a_resume_that_fails_at_once_leaves_the_result_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trained(tmp_path)
    before = (tmp_path / "result.json").read_text()

    def broken(*arguments: Any) -> None:
        raise ValueError("no reference samples")

    monkeypatch.setattr(Evaluation, "on_train_start", broken)
    with pytest.raises(UserError, match="no reference samples"):
        trained(tmp_path, "max_iterations=9", "resume=auto")
    assert (tmp_path / "result.json").read_text() == before
