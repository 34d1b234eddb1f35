"""An evaluation as a table on the screen and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    pass


def published(result: dict[str, Any], folder: Path, stem: str, head: str) -> Path:
    """Write `result` into `folder`, print its numbers under `head` and the protocol; the file.

    Raises:
        UserError: it cannot be written.
    """
    from gan_lightning.evaluation.protocol import describe
    from gan_lightning.utils.errors import WorkError
    from gan_lightning.utils.files import write_json

    print("\n".join([head, *describe(result["protocol"])]))
    print_metrics(result["values"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = reserved(folder, stem)
        try:
            write_json(path, result)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise WorkError(f"{folder} cannot be written to: {error}") from error
    return path


def reserved(folder: Path, stem: str) -> Path:
    """An empty JSON file that was not there, so that no other evaluation is overwritten, not even one beside this."""
    for number in count(1):
        path = folder / (f"{stem}.json" if number == 1 else f"{stem}_{number}.json")
        try:
            path.open("x").close()
        except FileExistsError:
            continue
        return path
    raise AssertionError("count ends")


def print_metrics(values: Mapping[str, float]) -> None:
    """A table of numbers by their names; nothing when there are none."""
    if not values:
        return
    table = Table("metric", "value", box=None, pad_edge=False)
    for name, value in values.items():
        table.add_row(name, f"{value:.4g}")
    Console(highlight=False).print(table)
