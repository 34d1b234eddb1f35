"""The last lines that a run prints: what was reached, and where everything lies."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import Trainer
from rich.console import Console

from gan_lightning.evaluation.results import print_metrics
from gan_lightning.loggers import WandB
from gan_lightning.utils.errors import printable


def print_report(result: Mapping[str, Any], directory: Path, trainer: Trainer) -> None:
    """Print a table of the final metrics, what went wrong, and the paths of what was written."""
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    console.print(
        f"\n{result['status']}: {result['iterations']} iterations, {result['images']} images, {result['seconds']:.0f} s"
    )
    print_metrics(result["final"])
    if result["best"]:
        name = result["monitor"]
        console.print(f"best {name} {result['best'][name]:.4g} at iteration {result['best']['iteration']}")
    print_health(result.get("health", []), console)
    console.print()
    for label, path in written(directory):
        console.print(f"{label:<12} {path}")
    for logger in trainer.loggers:
        if isinstance(logger, WandB) and logger.offline_dir:
            console.print(f"{'W&B':<12} wandb sync {logger.offline_dir}")
    if result.get("url"):
        console.print(f"{'page':<12} {result['url']}")


def print_health(records: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print a line for each symptom of the run's health."""
    for record in records:
        gone = "" if record["until"] is None else f", gone since {record['until']}"
        what = f"{record['symptom'].replace('_', ' ')} since iteration {record['since']}{gone}: {record['saw']}"
        console.print(what if gone else f"{what}; try: {record['try']}", markup=False)


def written(directory: Path) -> list[tuple[str, str]]:
    """Return the usual files that are in the run directory, as (what it is, path as the user would type it)."""
    things = {
        "run": directory,
        "result": directory / "result.json",
        "numbers": directory / "metrics.csv",
        "samples": max(directory.glob("samples/iteration_*.png"), default=directory / "samples"),
        "figure": directory / "density.png",
        "seeds": directory / "seeds.png",
        "animation": next(directory.glob("**/evolution.gif"), directory / "evolution.gif"),
        "profile": directory / "fit-profile.txt",
        "best": directory / "checkpoints" / "best.ckpt",
        "last": directory / "checkpoints" / "last.ckpt",
    }
    return [(label, printable(os.path.relpath(path))) for label, path in things.items() if path.exists()]
