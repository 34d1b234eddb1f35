"""Statistics over the seeds of a run of many seeds, and their table on the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats

from gan_lightning.runs.report import written


def statistics_of(values: Sequence[Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """Return mean, standard deviation and Student's 95 % interval of the mean of each number over the seeds.

    Seeds whose number is not finite are left out of them and counted in `diverged`.
    """
    found = {}
    for name in values[0]:
        numbers = np.array([row.get(name, math.nan) for row in values], dtype=float)
        finite = numbers[np.isfinite(numbers)]
        count = len(finite)
        mean = float(finite.mean()) if count else math.nan
        std = float(finite.std(ddof=1)) if count > 1 else math.nan
        half = float(stats.t.ppf(0.975, count - 1)) * std / math.sqrt(count) if count > 1 else math.nan
        found[name] = {"mean": mean, "std": std, "interval": [mean - half, mean + half]}
        found[name] |= {"n": count, "diverged": len(numbers) - count}
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
        low, high = of["interval"]
        table.add_row(name, f"{of['mean']:.4g}", f"{of['std']:.3g}", f"{low:.4g} to {high:.4g}")
    console.print(table)
    for label, path in written(directory):
        console.print(f"{label:<12} {path}")
