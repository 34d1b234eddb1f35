"""Errors of the command line: plain sentences, without a traceback, before work starts where that is possible."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from hydra.errors import CompactHydraException


class UserError(CompactHydraException):
    """One or several problems of the command line. Hydra prints an exception of this kind without a traceback.

    Args:
        problems: a sentence each: what is wrong and what would be right.
    """

    exit_code = 2

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems = [printable(problem) for problem in ([problems] if isinstance(problems, str) else problems)]
        super().__init__("\n".join(self.problems))

    def report(self) -> str:
        """Return the problems as they are shown, one a line."""
        head = "This cannot run:" if len(self.problems) == 1 else f"This cannot run, for {len(self.problems)} reasons:"
        return "\n".join([head, *(f"  - {problem}" for problem in self.problems)])


class ReportedError(UserError):
    """The failure of a sweep's job, which was reported when it happened."""

    exit_code = 1


class WorkError(UserError):
    """A failure of work that was set up correctly, as on a full disk."""

    exit_code = 1

    def report(self) -> str:
        """Return the problems, one a line."""
        return "\n".join(self.problems)


@contextmanager
def names_that_fit() -> Iterator[None]:
    """Within, a name of a file that is longer than any system takes is a UserError, whichever key it is of."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        name = max(str(error.filename).split(os.sep), key=len)
        sentence = f"{name:.40}... is too long for the name of a file or folder: give a shorter one"
        raise UserError(sentence) from error


def write_line(text: str, stream: TextIO | None = None) -> None:
    """Write text and a line break to `stream`, standard output if None, with control characters escaped."""
    stream = stream or sys.stdout
    stream.write(printable(text) + "\n")
    stream.flush()


def printable(text: str) -> str:
    """Return `text` with control characters escaped; names of files may hold them."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
