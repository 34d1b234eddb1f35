"""`gan-explore` refuses what it cannot show with one sentence, before gradio is needed."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from gan_lightning.cli import explore


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        explore.main(arguments)
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_without_gradio_the_line_that_installs_it_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    monkeypatch.setattr(explore, "find_spec", lambda name: None)
    assert 'pip install "gan_lightning[explore]"' in refusal(capsys, str(tmp_path))


def test_a_folder_that_is_no_run_is_refused_as_by_load(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    monkeypatch.setattr(explore, "find_spec", lambda name: ModuleSpec(name, None))
    assert f"{tmp_path} holds no checkpoint" in refusal(capsys, str(tmp_path))
