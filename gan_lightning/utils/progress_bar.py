"""A progress bar on a terminal, and nothing elsewhere."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TypeVar

from rich import get_console, progress
from rich.markup import escape

from gan_lightning.utils.errors import printable

T = TypeVar("T")


def track(items: Iterable[T], description: str, total: int | None = None) -> Generator[T, None, None]:
    """Yield `items` under a bar that disappears at the end; within a bar that is on the screen it is one more line.

    Args:
        items: anything; each is one step of the bar.
        description: what stands before the bar.
        total: how many items there are; None: as many as `len(items)` says.
    """
    hidden = not get_console().is_interactive
    yield from progress.track(items, escape(printable(description)), total=total, transient=True, disable=hidden)
