from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from helpers.composed_once import compose_once
from helpers.run_script import Command, run_script

from gan_lightning.trainer.ranks import RANK_VARIABLES

# Not the home directory; subprocesses and pytest's own workers inherit it.
os.environ.setdefault("GAN_LIGHTNING_CACHE", tempfile.mkdtemp(prefix="gan_lightning-"))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the networks are tiny, and tests may run side by side
compose_once()


@pytest.fixture(autouse=True)
def no_ranks_left_behind() -> Iterator[None]:
    """Launchers set the variables of their ranks for good; the next test would take itself for a further rank."""
    before = {name: os.environ.get(name) for name in RANK_VARIABLES}
    yield
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Runs a script in an empty folder; the finished process, with what it printed."""
    return partial(run_script, tmp_path)
