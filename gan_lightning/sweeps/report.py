"""A report on runs: summary.csv, summary.md and report.html."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from gan_lightning.sweeps.collect import RunRecord, Table, read_runs, tables
from gan_lightning.sweeps.page import page
from gan_lightning.sweeps.run_page import run_page
from gan_lightning.sweeps.words import command, interval, sentence, spread, why
from gan_lightning.utils.files import write_text

COLUMNS = ("setting", "metric", "n", "mean", "std", "low", "high", "last mean", "last std", "runs", "command")


def report(*paths: str | os.PathLike[str], output: str | os.PathLike[str] | None = None) -> Path:
    """Write a report on runs, of one or several directories of runs or of sweeps.

    Runs are grouped by everything but the seed. Numbers of different protocols stand in different tables. A single run
    has a page of its own.

    Args:
        paths: directories of runs and of sweeps; runs may have failed or be in progress.
        output: the directory of the report; None: the first of `paths`.

    Returns:
        The page, ``report.html``; ``summary.csv`` and ``summary.md`` stand beside it.

    Raises:
        UserError: there are no runs.

    Examples:
        >>> gl.report("outputs/sweeps/losses")
        PosixPath('outputs/sweeps/losses/report.html')
    """
    folders = [Path(path).expanduser() for path in paths]
    folder = Path(output).expanduser() if output is not None else folders[0]
    runs = read_runs(folders)
    found, without = tables(runs)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "summary.csv", summary_csv(found))
    write_text(folder / "summary.md", summary_markdown(found, without))
    write_text(
        folder / "report.html", run_page(runs[0]) if len(runs) == 1 else page(folder.absolute().name, found, without)
    )
    return folder / "report.html"


def verdicts(*paths: str | os.PathLike[str]) -> list[str]:
    """Return a sentence for each table of `report`: who won, or that it cannot be told."""
    found, _ = tables(read_runs([Path(path).expanduser() for path in paths]))
    return [f"{table.monitor}: {sentence(table)}" for table in found]


def summary_csv(found: Sequence[Table]) -> str:
    """Return a row for each group of each table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for table in found:
        for group in table.groups:
            best, last = group.summary(), group.summary("last")
            low, high = best.interval or (None, None)
            runs = " ".join(run.directory.name for run in group.runs)
            numbers = (best.n, best.mean, best.std, low, high, last.mean, last.std)
            writer.writerow([group.name, table.monitor, *numbers, runs, command(group)])
    return text.getvalue()


def summary_markdown(found: Sequence[Table], without: Sequence[RunRecord]) -> str:
    """Return the tables with their verdicts, and the runs without a number."""
    lines = []
    for table in found:
        lines += [f"## {table.monitor}, {'smaller' if table.mode == 'min' else 'larger'} is better", ""]
        lines += [*table.protocol, "", sentence(table), ""]
        lines += [
            "| setting | n | best: mean ± std | 95 % interval | last: mean ± std |",
            "| --- | --- | --- | --- | --- |",
        ]
        for group in table.groups:
            best, last = group.summary(), group.summary("last")
            lines.append(f"| `{group.name}` | {best.n} | {spread(best)} | {interval(best)} | {spread(last)} |")
        lines.append("")
    if without:
        lines += ["## Runs without a number", ""]
        lines += [f"- {run.directory.name}: {why(run)}" for run in without]
    return "\n".join(lines).rstrip() + "\n"
