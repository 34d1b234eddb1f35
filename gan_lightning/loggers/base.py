"""What loggers of this package do beside logging: they write how a run has ended, and keep its id."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from gan_lightning.utils.files import write_text


@runtime_checkable
class RunLogger(Protocol):
    """A logger that stays open after Lightning's `finalize`, until the result of the run is known."""

    @property
    def url(self) -> str | None:
        """Where the run can be looked at; None where that is no page."""

    def end(self, status: str, summary: Mapping[str, Any]) -> None:
        """Write how the run ended, and close it; once, whatever is said later.

        Args:
            status: finished, failed or interrupted, as in ``result.json``.
            summary: what was reached.
        """


def kept_id(path: Path | None, new: str) -> str:
    """Return the id of a run that `path` holds; `new`, which it then holds, where it held none or is None."""
    if path is None:
        return new
    if not path.exists():
        write_text(path, new + "\n")
    return path.read_text(encoding="utf-8").strip()
