"""Fixtures of the tests of runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers.strangers_run import SETTINGS

import gan_lightning as gl


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gl.train([*SETTINGS, "callbacks.health.every=7"], tmp_path_factory.mktemp("runs") / "finished").directory


@pytest.fixture
def theirs(finished: Path, tmp_path: Path) -> Path:
    """A copy of a run, to be prepared."""
    shutil.copytree(finished, tmp_path / "theirs")
    return tmp_path / "theirs"
