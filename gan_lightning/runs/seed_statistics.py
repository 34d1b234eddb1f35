"""Statistics over the seeds of a run of many seeds, and their table on the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gan_lightning.runs.report import written
from gan_lightning.utils.statistics import Summary, summarize


def statistics_of(values: Sequence[Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """Return mean, standard deviation and 95 % interval of the mean of each number over the seeds, see `Summary`.

    Seeds whose number is not finite are left out of them and counted in `diverged`.
    """
    found = {}
    for name in values[0]:
        numbers = [row.get(name, math.nan) for row in values]
        finite = [number for number in numbers if math.isfinite(number)]
        summary = summarize(finite) if finite else Summary(0, math.nan, None, None)
        found[name] = {**asdict(summary), "diverged": len(numbers) - len(finite)}
    return found


def print_seeds(result: Mapping[str, Any], directory: Path) -> None:
    """Print the statistics over the seeds, and the paths of what was written."""
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    count = len(result["seeds"])
    console.print(
        f"\n{result['status']}: {count} seeds of {result['iterations']} iterations, {result['seconds']:.0f} s"
    )
    table = Table("metric", "mean", "std", "95 % of the mean", box=None, pad_edge=False)
    for name, of in result["statistics"].items():
        several = of["std"] is not None
        spread = (f"{of['std']:.3g}", "{:.4g} to {:.4g}".format(*of["interval"])) if several else ("", "")
        table.add_row(name, f"{of['mean']:.4g}", *spread)
    console.print(table)
    for label, path in written(directory):
        console.print(f"{label:<12} {path}")
