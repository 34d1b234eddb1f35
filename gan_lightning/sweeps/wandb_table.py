"""The tables of a sweep as W&B Tables, in a summary run of the sweep's group."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gan_lightning.sweeps.collect import RunRecord, Table, read_runs, tables
from gan_lightning.sweeps.labels import differing
from gan_lightning.sweeps.words import sentence
from gan_lightning.utils.job_names import of_game

GROUP_COLUMNS = ("setting", "metric", "n", "mean", "std", "low", "high", "last mean")


def log_sweep(directory: Path) -> None:
    """Log the runs in a sweep's directory, and their groups, where they were logged to W&B; again into the same run.

    Args:
        directory: of the sweep, whose name is the group's.
    """
    runs = read_runs([directory])
    logged = next((run.config for run in runs if "logger.wandb.project" in run.config), None)
    if logged is None:
        return
    import wandb

    from gan_lightning.loggers import WandB

    found, _ = tables(runs)
    logger = WandB(
        project=logged["logger.wandb.project"],
        entity=logged.get("logger.wandb.entity"),
        save_dir=directory,
        id_file=directory / "wandb_run_id",
        name=f"{directory.absolute().name} summary",
        group=directory.absolute().name,
        job_type="summary",
    )
    columns, rows = run_table(runs)
    logger.log_metrics({"runs": wandb.Table(columns, rows, allow_mixed_types=True)})
    logger.log_metrics({"groups": wandb.Table(list(GROUP_COLUMNS), group_rows(found), allow_mixed_types=True)})
    logger.end("finished", {"winner": "; ".join(f"{table.monitor}: {sentence(table)}" for table in found)})


def run_table(runs: Sequence[RunRecord]) -> tuple[list[str | int], list[list[Any]]]:
    """Return the columns and a row for each run: what differs, how it ended, what it reached and where it lies."""
    typed = [{key: value for key, value in run.typed.items() if of_game(key)} for run in runs]
    keys = differing(typed)
    columns: list[str | int] = [
        "run",
        *keys,
        "seed",
        "status",
        "metric",
        "best",
        "best iteration",
        "last",
        "seconds",
        "page",
    ]
    rows: list[list[Any]] = []
    for run, own in zip(runs, typed, strict=True):
        reached = [run.best, run.result.get("best", {}).get("iteration"), run.last]
        place = [run.result.get("seconds"), run.result.get("url")]
        rows.append(
            [run.directory.name, *(own.get(key) for key in keys), run.seed, run.status, run.monitor, *reached, *place]
        )
    return columns, rows


def group_rows(found: Sequence[Table]) -> list[list[Any]]:
    """Return a row of `GROUP_COLUMNS` for each group, the best first."""
    rows: list[list[Any]] = []
    for table in found:
        for group in table.groups:
            best, last = group.summary(), group.summary("last")
            low, high = best.interval or (None, None)
            rows.append([group.name, table.monitor, best.n, best.mean, best.std, low, high, last.mean])
    return rows
