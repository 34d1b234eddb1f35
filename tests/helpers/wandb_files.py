"""What W&B runs that were kept offline hold, read back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def wandb_files(folder: Path) -> list[Path]:
    """The files of W&B runs below `folder`."""
    return sorted(folder.rglob("*.wandb"))


def records(file: Path, kind: str) -> list[dict[str, Any]]:
    """The records of one kind, such as run, config, history, of a W&B run."""
    inspect = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    printed = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout
    found = [json.loads(line) for line in printed.splitlines()]
    return [record[kind] for record in found if record["type"] == kind]


def history(file: Path) -> list[dict[str, Any]]:
    """The rows that a W&B run logged."""
    return [record["item"] for record in records(file, "history")]
