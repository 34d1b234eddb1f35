"""A CSV file of all numbers."""

from __future__ import annotations

import csv
import logging
import os
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from gan_lightning.utils.files import atomic_write

log = logging.getLogger(__name__)


class MetricsCSV(Logger):
    """One CSV file that grows: a row an iteration, a column a metric, empty where there was no value.

    Lightning's CSVLogger deletes the file of a directory that is in use already; this one appends to it.
    When the file cannot be written, as on a full disk, that is logged once and training continues.

    Args:
        path: the file.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        self._columns: list[str] = read_table(self.path)[0] if self.path.exists() else []
        self._row: dict[str, Any] = {}
        self._saved = True
        self._start: int | None = None  # where in the file the present row stands, or what was written of it
        self._complained = False

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run directory holds the configuration in a file of its own."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add `metrics` to the row of iteration `step`; a row is written when the next one begins, or by `save`."""
        if step != self._row.get("iteration"):
            self.save()
            self._row = {"iteration": step}
            self._start = None if self._saved else self._start
        self._row.update(metrics)
        self._saved = False

    @rank_zero_only
    def save(self) -> None:
        """Write the row that is being filled, in place of what was written of it before."""
        if self._saved:
            return
        try:
            self._put()
            self._saved = True
        except OSError as error:
            if not self._complained:
                log.error(f"{os.path.relpath(self.path)} cannot be written ({error.strerror}): its numbers are lost")
            self._complained = True

    @rank_zero_only
    def forget_after(self, iteration: int) -> None:
        """Drop the rows later than `iteration`, which a run resumed there writes again."""
        if not self.path.exists():
            return
        _, rows = read_table(self.path)
        with self.path.open("rb") as file:
            whole = file.read().endswith(b"\n")
        rows = rows if whole else rows[:-1]  # the run was killed while it wrote the last
        self._write([row for row in rows if int(row["iteration"]) <= iteration])

    def _put(self) -> None:
        if self._start is not None:
            os.truncate(self.path, self._start)
        new = [column for column in self._row if column not in self._columns]
        if new:
            rows = read_table(self.path)[1] if self.path.exists() else []
            self._columns += new
            self._write(rows)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            self._start = file.tell()
            csv.DictWriter(file, self._columns).writerow(self._row)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.save()

    def _write(self, rows: list[dict[str, str]]) -> None:
        """Write all rows under the present columns; no row is ever lost."""
        write_table(self.path, self._columns, rows)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write ``metrics.csv`` anew, empty where a row has no value for a column."""
    with atomic_write(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns of ``metrics.csv`` and its rows; the last may be cut off, where a run was killed.

    Raises:
        ValueError: it is not such a file.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            columns = list(reader.fieldnames or ())
    except (csv.Error, UnicodeDecodeError):
        columns, rows = [], []
    if rows and rows[-1].get(None) == [""]:
        rows[-1].pop(None)  # of a row that was cut off behind a comma
    if columns[:1] != ["iteration"] or not all(row["iteration"].isdigit() and None not in row for row in rows):
        raise ValueError(f"{path} is no table of numbers by iteration: move it away, and the run begins a new one")
    return columns, rows
