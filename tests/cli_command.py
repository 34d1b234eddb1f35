"""The command line as a user runs it: another process, an empty folder, no account."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
Command = Callable[..., subprocess.CompletedProcess[str]]

TINY = (
    "experiment=gaussian",
    "schedule=constant",
    "max_iterations=6",
    "log_every=1",
    "evaluate_every=3",
    "samples_every=3",
    "checkpoint_every=3",
    "metrics.num_fakes=200",
    "callbacks.density.count=100",
    "data.reference_size=200",
    "trainer.accelerator=cpu",
)
"""A game of a few seconds."""


def run_script(folder: Path, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the clone in `folder`, to the end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    return subprocess.run(
        [sys.executable, str(ROOT / script), *arguments],
        cwd=folder,
        env={**kept, "HOME": str(folder), "OMP_NUM_THREADS": "1", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
