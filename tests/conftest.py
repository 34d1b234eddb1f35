from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from gan_lightning.cli.environment import RANK_VARIABLES

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the networks are tiny, and tests may run side by side


@pytest.fixture(autouse=True)
def no_ranks_left_behind() -> Iterator[None]:
    """Launchers set the variables of their ranks for good; the next test would take itself for a further rank."""
    before = {name: os.environ.get(name) for name in RANK_VARIABLES}
    yield
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
