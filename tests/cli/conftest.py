from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from helpers.run_script import Command, run_script


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Runs a script in an empty folder; the finished process, with what it printed."""
    return partial(run_script, tmp_path)
