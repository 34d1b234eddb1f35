"""The handler of log files."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping

from gan_lightning.utils.errors import printable, write_line

file_log = logging.getLogger("gan_lightning.file_only")
"""For lines of the log file that a terminal shows in another way."""


class Printable(logging.Formatter):
    """Lines of a log in which control characters, as of names of files, are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class LogFile(logging.FileHandler):
    """A log file that says once that it cannot be written, as on a full disk, in the place of a traceback a line."""

    def __init__(self, filename: str | os.PathLike[str], encoding: str = "utf-8") -> None:
        super().__init__(filename, encoding=encoding)
        self._complained = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, the name of logging
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            return super().handleError(record)
        if not self._complained:
            self._complained = True
            name = os.path.relpath(self.baseFilename)
            write_line(f"{name} cannot be written ({error.strerror}): lines of the log are lost", sys.stderr)


def as_lines(values: Mapping[str, float]) -> list[str]:
    """Return a line for each number, with its name."""
    return [f"  {name:<24} {value:.4g}" for name, value in values.items()]
