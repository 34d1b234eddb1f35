"""Runs read from their directories, and grouped by everything but the seed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from gan_lightning.evaluation.protocol import comparable_fields, describe
from gan_lightning.loggers import read_table
from gan_lightning.runs.status import read_result, status_of
from gan_lightning.sweeps.labels import LOADER, differing, label, typed_settings
from gan_lightning.utils.conf import leaves
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.job_names import LONGEST_NAME, NO_SETTING, of_game
from gan_lightning.utils.statistics import Summary, Verdict, summarize, verdict

REPEATED = ("gan", "metrics", "extractor")
"""Parts that repeat others, or that the protocol of a number states."""


@dataclass
class RunRecord:
    """What a run directory says.

    Args:
        directory: of the run.
        config: its settings by dotted key.
        typed: its overrides, as value by key.
        result: the content of ``result.json``; empty while it runs.
    """

    directory: Path
    config: dict[str, Any]
    typed: dict[str, str]
    result: dict[str, Any]

    @property
    def status(self) -> str:
        """Running, dead, finished, failed or stopped, see `status_of`."""
        return status_of(self.directory, self.result)

    @property
    def monitor(self) -> str:
        return str(self.config.get("metrics.monitor"))

    @property
    def seed(self) -> int:
        return int(self.config.get("seed", 0))

    @property
    def best(self) -> float | None:
        """The monitored metric at its best, of a run that has finished."""
        value = self.result.get("best", {}).get(self.monitor)
        return float(value) if value is not None and self.status == "finished" else None

    @property
    def last(self) -> float | None:
        """The monitored metric at the end, of a run that has finished."""
        value = self.result.get("final", {}).get(self.monitor)
        return float(value) if value is not None and self.status == "finished" else None

    def settings(self) -> dict[str, Any]:
        """Return what makes it another game than a run with other settings; seeds are left out."""
        left_out = (*NO_SETTING, *REPEATED)
        return {
            key: value
            for key, value in self.config.items()
            if key.partition(".")[0] not in left_out and key.rpartition(".")[2] != "seed"
        }

    @property
    def debug(self) -> str | None:
        """The answer to ``debug=`` of a run that tries the program out; None for a real one."""
        return self.config.get("choices.debug")

    def measured(self) -> str:
        """Return what has to be equal for numbers to stand in one table."""
        protocol = self.result.get("protocol")
        fields = comparable_fields(protocol, self.monitor) if protocol else None
        return json.dumps(
            [self.monitor, self.config.get("metrics.mode"), fields, self.debug], sort_keys=True, default=str
        )

    @cached_property
    def rows(self) -> list[dict[str, float]]:
        """The rows of ``metrics.csv``, each with the numbers that it has; none where it cannot be read."""
        try:
            _, rows = read_table(self.directory / "metrics.csv")
            return [{name: float(text) for name, text in row.items() if text} for row in rows]
        except (OSError, ValueError):
            return []

    @cached_property
    def images(self) -> dict[float, float]:
        """How many images had been seen, by iteration, at some iterations in their order."""
        known = {0.0: 0.0} | {row["iteration"]: row["images"] for row in self.rows if "images" in row}
        if self.result.get("iterations"):
            known[self.result["iterations"]] = self.result["images"]
        return dict(sorted(known.items()))

    def images_at(self, iteration: float) -> float:
        """Return how many images had been seen at an iteration."""
        return float(np.interp(iteration, list(self.images), list(self.images.values())))

    def curve(self, name: str | None = None) -> list[tuple[float, float]]:
        """Return a logged number over the images seen; None: the monitored metric."""
        name = name or self.monitor
        found = [row for row in self.rows if name in row]
        seen = np.interp([row["iteration"] for row in found], list(self.images), list(self.images.values()))
        return [(float(x), row[name]) for x, row in zip(seen, found, strict=True)]


@dataclass
class Group:
    """Runs that differ by their seed alone.

    Args:
        name: what differs from other groups.
        runs: by seed.
    """

    name: str
    runs: list[RunRecord] = field(default_factory=list)

    def values(self, which: str = "best") -> list[float]:
        """Return the numbers of its finished runs, `best` or `last`."""
        return [value for run in self.runs if (value := getattr(run, which)) is not None]

    def summary(self, which: str = "best") -> Summary:
        """Return the statistics of `values`, which must not be empty."""
        return summarize(self.values(which))


@dataclass
class Table:
    """Groups whose numbers were measured in the same way, the best first.

    Args:
        monitor: the number that they are compared by.
        mode: min or max is best.
        protocol: how it was measured, in lines.
        groups: those with a number.
    """

    monitor: str
    mode: Any
    protocol: list[str]
    groups: list[Group]

    def verdict(self) -> Verdict:
        """Return which group is best, as far as can be told."""
        return verdict({group.name: group.values() for group in self.groups}, self.mode)


def read_runs(paths: Iterable[Path]) -> list[RunRecord]:
    """Return the runs in directories of runs or of sweeps.

    Raises:
        UserError: there are none.
    """
    paths = list(paths)
    found: dict[Path, None] = {}
    for path in paths:
        found |= dict.fromkeys([path] if is_run(path) else sorted(filter(is_run, path.glob("*"))))
    if not found:
        raise UserError(f"{' '.join(map(str, paths))} holds no run: give directories of runs or of sweeps")
    return [read_run(directory) for directory in found]


def is_run(directory: Path) -> bool:
    """Return whether a directory is that of a run; one that was refused has no configuration."""
    return (directory / "config.yaml").is_file() or (directory / "result.json").is_file()


def read_run(directory: Path) -> RunRecord:
    """Return what a run directory says."""
    file = directory / "config.yaml"
    config = (yaml.load(file.read_text(encoding="utf-8"), LOADER) if file.is_file() else None) or {}
    return RunRecord(directory, dict(leaves(config)), typed_settings(directory), read_result(directory))


def grouped(runs: Sequence[RunRecord]) -> list[Group]:
    """Return `runs` grouped by everything but the seed, each group named by what differs from the others."""
    groups: dict[str, Group] = {}
    for run in runs:
        key = json.dumps(run.settings(), sort_keys=True, default=str)
        groups.setdefault(key, Group("")).runs.append(run)
    found = list(groups.values())
    names = labels([group.runs[0] for group in found])
    for group, name in zip(found, names, strict=True):
        group.name = name
        group.runs = one_a_seed(group.runs)
    return found


def one_a_seed(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Return `runs` of one setting by seed; of several with one seed one, as the others are no further samples."""
    by_seed = {run.seed: run for run in sorted(runs, key=lambda run: run.best is not None)}
    return [by_seed[seed] for seed in sorted(by_seed)]


def labels(runs: Sequence[RunRecord]) -> list[str]:
    """Return what differs between runs, as it was typed; their directories where that does not tell them apart."""
    typed = [{key: value for key, value in run.typed.items() if of_game(key)} for run in runs]
    keys = differing(typed)
    names = [label(own, keys) for own in typed]
    apart = len(set(names)) == len(runs) > 1 and max(map(len, names)) <= LONGEST_NAME
    return names if apart else [run.directory.name for run in runs]


def tables(runs: Sequence[RunRecord]) -> tuple[list[Table], list[RunRecord]]:
    """Return a table for each way in which numbers were measured, and the runs without a number."""
    groups = grouped([run for run in runs if run.config])
    parts: dict[str, list[Group]] = {}
    for group in groups:
        for measured in dict.fromkeys(run.measured() for run in group.runs if run.best is not None):
            own = [run for run in group.runs if run.best is not None and run.measured() == measured]
            parts.setdefault(measured, []).append(Group(group.name, own))
    found = []
    for members in parts.values():
        first = members[0].runs[0]
        sign = 1 if first.config.get("metrics.mode") == "min" else -1
        members.sort(key=lambda group, sign=sign: sign * group.summary().mean)  # type: ignore[misc]
        protocol = first.result.get("protocol")
        lines = describe(protocol) if protocol else ["its protocol is not known"]
        if first.debug:
            lines = [f"debug={first.debug}: these runs try the program out, and compare with no others", *lines]
        found.append(Table(first.monitor, first.config.get("metrics.mode"), lines, members))
    return found, [run for run in runs if run.best is None]
