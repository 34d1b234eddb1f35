"""What a report says of tables, groups and runs, in words."""

from __future__ import annotations

import shlex

from gan_lightning.sweeps.collect import Group, RunRecord, Table
from gan_lightning.utils.statistics import TEST, Summary


def sentence(table: Table) -> str:
    """Return who won, or that it cannot be told."""
    if len(table.groups) == 1:
        return f"One setting: {table.groups[0].name}."
    found = table.verdict()
    if found.winner is not None:
        return f"Winner: {found.winner}, better than all others ({TEST}, p < 0.05)."
    words = f"No winner: {found.best} has the best mean"
    if found.equals:
        words += f"; it cannot be told apart from {', '.join(found.equals)} ({TEST})"
    if found.untested:
        words += f"; it was not compared with {', '.join(found.untested)}: give several seeds, seed=range(5)"
    return words + "."


def spread(summary: Summary) -> str:
    """Return ``mean ± std`` to four digits."""
    return f"{summary.mean:.4g}" + ("" if summary.std is None else f" ± {summary.std:.2g}")


def interval(summary: Summary) -> str:
    """Return ``low to high``; a dash for one value."""
    return "–" if summary.interval is None else "{:.4g} to {:.4g}".format(*summary.interval)


def why(run: RunRecord) -> str:
    """Return why a run has no number."""
    error = str(run.result.get("error") or "").split("\n")[0]
    return f"{run.status}: {error}" if error else run.status


def command(group: Group) -> str:
    """Return the command line that repeats the runs of a group."""
    run = group.runs[0]
    left_out = ("seed", "resume", "ckpt_path", "launcher", "hparams_search", "name")
    lines = [f"{key}={value}" for key, value in run.typed.items() if key not in left_out]
    seeds = ",".join(str(run.seed) for run in group.runs)
    return shlex.join(["python", "train.py", *(["-m"] if len(group.runs) > 1 else []), *lines, f"seed={seeds}"])
