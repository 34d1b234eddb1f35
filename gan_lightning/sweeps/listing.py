"""A line for each run and sweep below a folder: status, progress, best metric, age, settings. Needs no torch."""

from __future__ import annotations

import csv
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_lightning.runs.status import began, find_runs, read_result, status_of
from gan_lightning.sweeps.labels import differing, label, typed_settings
from gan_lightning.utils.errors import printable
from gan_lightning.utils.job_names import of_game

HEADINGS = ("status", "iterations", "best", "age", "run", "settings")


@dataclass(frozen=True)
class Listed:
    """A run with what is shown of it.

    Args:
        directory: of the run.
        status: see `status_of`.
        iterations: made; None where nothing says so.
        monitor: the metric that says which evaluation is the best; None where none does.
        best: its best value; None before the first.
        began: when, in seconds since the epoch.
        typed: its overrides, as value by key.
    """

    directory: Path
    status: str
    iterations: int | None
    monitor: str | None
    best: float | None
    began: float
    typed: dict[str, str]

    def row(self, settings: str, now: float) -> tuple[str, ...]:
        """Return the cells of its line, see `HEADINGS`."""
        count = "" if self.iterations is None else str(self.iterations)
        best = "" if self.best is None else f"{self.monitor} {self.best:.4g}"
        status = f"{self.status}, debug" if "debug" in self.typed else self.status
        return status, count, best, age(now - self.began), os.path.relpath(self.directory), settings


def listed(directory: Path) -> Listed:
    """Return what is known of a run; files that hold something else say nothing."""
    result = read_result(directory)
    status = status_of(directory, result)
    monitor = result.get("monitor")
    best = result.get("best")
    value = best.get(monitor) if isinstance(best, dict) and isinstance(monitor, str) else None
    count = result.get("iterations")
    if status in ("running", "dead"):
        count, value = progress_of(directory, monitor)
    return Listed(
        directory,
        status,
        count if isinstance(count, int) else None,
        monitor if isinstance(monitor, str) else None,
        float(value) if isinstance(value, (int, float)) else None,
        began(directory),
        typed_settings(directory),
    )


def progress_of(directory: Path, monitor: Any) -> tuple[int | None, float | None]:
    """Return the last iteration in ``metrics.csv`` and the best of `monitor` until then; None for what is missing."""
    count, value = None, None
    try:
        with (directory / "metrics.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                count = int(row["iteration"])
                if best := row.get(f"{monitor}_best"):
                    value = float(best)
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        pass  # the last line may be half written
    return count, value


def listing(paths: Iterable[Path], now: float | None = None) -> str:
    """Return a table of the runs below `paths`, the newest first, those of a sweep together below a line on it.

    Runs outside of sweeps are described by the overrides that differ between them; jobs of a sweep are so by their
    directories. Nothing where there are no runs.
    """
    now = time.time() if now is None else now
    runs = [listed(directory) for directory in dict.fromkeys(run for path in paths for run in find_runs(path))]
    sweeps: dict[Path | None, list[Listed]] = {}
    for run in runs:
        parent = run.directory.parent
        sweeps.setdefault(parent if (parent / "multirun.yaml").is_file() else None, []).append(run)
    single = sweeps.pop(None, [])
    keys = differing([shown(run.typed) for run in single])
    blocks = [(run.began, [run.row(label(shown(run.typed), keys) if keys else "", now)]) for run in single]
    for folder, jobs in sweeps.items():
        jobs.sort(key=lambda run: run.directory.name)
        first = min(run.began for run in jobs)
        head = ("sweep", "", "", age(now - first), os.path.relpath(str(folder)), counts(jobs))
        blocks.append((first, [head, *(run.row("", now) for run in jobs)]))
    rows = [row for _, block in sorted(blocks, key=lambda block: -block[0]) for row in block]
    return aligned([HEADINGS, *rows]) if rows else ""


def shown(typed: Mapping[str, str]) -> dict[str, str]:
    """Return the overrides that say what a run is, and its seed."""
    return {key: value for key, value in typed.items() if of_game(key) or key == "seed"}


def counts(jobs: Sequence[Listed]) -> str:
    """Return how many jobs of a sweep stand how, such as ``7 finished, 1 failed``."""
    return ", ".join(f"{count} {status}" for status, count in Counter(run.status for run in jobs).most_common())


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows in columns; control characters, which names of files may hold, are escaped."""
    cells = [[printable(cell).replace("\n", "\\n") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def age(seconds: float) -> str:
    """Return a duration in its largest unit, such as ``40 s``, ``12 min``, ``5 h`` or ``3 d``."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
