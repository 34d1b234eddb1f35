"""A bar for work that takes long enough to wonder about, in a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from rich import get_console
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from gan_lightning.game import Batch

LONG_SECONDS = 5.0
"""Work that will take longer has a bar."""

KNOWN_AFTER_SECONDS = 1.0
REFRESH_SECONDS = 0.25


def watched(
    batches: Iterable[Batch], what: str, total: int, bar: Bar | None = None, console: Console | None = None
) -> Iterator[Batch]:
    """The batches, with a bar that comes when they turn out to take long, and goes at the end.

    Args:
        batches: of samples.
        what: the work.
        total: samples in all.
        bar: one that is on the screen already, with columns for the fields `count` and `state`: gets a line more.
        console: where to show a bar of its own; None for the terminal.
    """
    console = console or get_console()
    own = bar is None
    started, due, done, task = time.monotonic(), 0.0, 0, None
    try:
        for batch in batches:
            yield batch
            done += len(batch[0])
            now = time.monotonic()
            elapsed = now - started
            if task is None and elapsed > KNOWN_AFTER_SECONDS and elapsed * total > LONG_SECONDS * done:
                if bar is None and console.is_interactive:
                    bar = Bar(
                        TextColumn("{task.fields[count]}"),
                        BarColumn(None),
                        TextColumn("{task.fields[state]}"),
                        console=console,
                        auto_refresh=False,
                        transient=True,
                        expand=True,
                    )
                    bar.start()
                if bar is not None:
                    task = bar.add_task("", total=total, count="", state=what)
            if bar is not None and task is not None and now >= due:
                bar.update(task, completed=done, count=f"{done}/{total}")
                bar.refresh()
                due = now + REFRESH_SECONDS
    finally:
        if bar is not None and task is not None:
            bar.remove_task(task)
            if own:
                bar.stop()
            else:
                bar.refresh()
