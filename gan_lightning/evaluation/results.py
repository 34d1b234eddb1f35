"""The result of an evaluation, as a table on the screen and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gan_lightning.evaluation.protocol import describe
from gan_lightning.utils.errors import WorkError, printable, write_line
from gan_lightning.utils.files import write_json


@dataclass(frozen=True)
class EvaluationResult:
    """The numbers of one evaluation, with how they were measured."""

    values: dict[str, float]
    """By their names, such as ``val/fid``."""

    protocol: dict[str, Any]
    """How they were measured, see `protocol_of`."""

    source: dict[str, Any] = field(default_factory=dict)
    """What was evaluated, by plain names and values: the checkpoint and its iterations, or folders."""

    def __getitem__(self, key: str) -> float:
        """Return a number by its name, with or without ``val/``.

        Raises:
            KeyError: it was not measured.
        """
        return self.values[key if key in self.values else f"val/{key}"]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as one dictionary that JSON can hold."""
        return {**self.source, "protocol": self.protocol, "values": self.values}


def print_result(result: EvaluationResult, head: str) -> None:
    """Print the numbers as a table, under `head` and the protocol."""
    for line in (head, *describe(result.protocol)):
        write_line(line)
    print_metrics(result.values)


def write_result(result: EvaluationResult, folder: Path, stem: str) -> Path:
    """Write `result` to a new ``<stem>.json``, or ``<stem>_2.json``, ..., and return its path; else a WorkError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = reserve_file(folder, stem)
        try:
            write_json(path, result.to_dict())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise WorkError(f"{folder} cannot be written to: {error}") from error
    return path


def reserve_file(folder: Path, stem: str) -> Path:
    """Create an empty JSON file that was not there: no other evaluation is overwritten, not even one beside this."""
    for number in count(1):
        path = folder / (f"{stem}.json" if number == 1 else f"{stem}_{number}.json")
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            continue
        return path
    raise AssertionError("count ends")


def print_metrics(values: Mapping[str, float]) -> None:
    """Print a table of numbers by their names; nothing when there are none."""
    if not values:
        return
    table = Table("metric", "value", box=None, pad_edge=False)
    for name, value in values.items():
        table.add_row(printable(name), f"{value:.4g}")
    Console(highlight=False, markup=False, emoji=False).print(table)
