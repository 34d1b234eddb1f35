"""How a run stands: running, dead, finished, failed or stopped. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from gan_lightning.runs.lock import is_held
from gan_lightning.utils.files import read_json

Status = Literal["running", "dead", "finished", "failed", "stopped"]

WORDS: dict[str, Status] = {"finished": "finished", "failed": "failed", "interrupted": "stopped"}


def read_result(directory: Path) -> dict[str, Any]:
    """Return the content of a run's ``result.json``; nothing where there is none that can be read."""
    return read_json(directory / "result.json") or {}


def status_of(directory: Path, result: Mapping[str, Any] | None = None) -> Status:
    """Return how the run in `directory` stands.

    A run that says `running`, or nothing, is dead where no process holds its lock, see `is_held`; one that was
    interrupted by a signal or Ctrl+C is stopped.

    Args:
        directory: of the run.
        result: the content of its ``result.json``; None: read now.
    """
    word = str((read_result(directory) if result is None else result).get("status"))
    return WORDS.get(word) or ("running" if is_held(directory) else "dead")


def find_runs(path: Path) -> Iterator[Path]:
    """Yield the run directories at or below `path`: those with a configuration or a result. None lies in another.

    W&B's own folders, which have a configuration too, are left out.
    """
    for folder, folders, files in os.walk(path):
        if {"config.yaml", "result.json"} & set(files):
            folders.clear()
            yield Path(folder)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "wandb")


def began(directory: Path) -> float:
    """Return when a run began, in seconds since the epoch: when its overrides were written, which are kept."""
    for name in ("overrides.yaml", "config.yaml", "result.json", "."):
        try:
            return (directory / name).stat().st_mtime
        except OSError:
            continue
    return 0.0
