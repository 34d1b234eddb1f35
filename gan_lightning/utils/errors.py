"""Errors of the command line: plain sentences, without a traceback, before work starts where that is possible."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra.errors import CompactHydraException, InstantiationException

from gan_lightning.utils.conf import typed_key


class UserError(CompactHydraException):
    """One or several problems of the command line. Hydra prints an exception of this kind without a traceback.

    Args:
        problems: a sentence each: what is wrong and what would be right.
    """

    exit_code = 2

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))

    def report(self) -> str:
        """Return the problems as they are shown, one a line."""
        head = "This cannot run:" if len(self.problems) == 1 else f"This cannot run, for {len(self.problems)} reasons:"
        return "\n".join([head, *(f"  - {problem}" for problem in self.problems)])


class WorkError(UserError):
    """A failure of work that was set up correctly, as on a full disk."""

    exit_code = 1

    def report(self) -> str:
        """Return the problems, one a line."""
        return "\n".join(self.problems)


@contextmanager
def user_errors() -> Iterator[None]:
    """Raise what constructors object to within the block as a `UserError` of one line.

    Raises:
        UserError: for a ValueError, an OSError, a MisconfigurationException of Lightning, or a target that Hydra cannot
            make.
    """
    try:
        yield
    except UserError:
        raise
    except InstantiationException as error:
        raise UserError(instantiation_problem(error)) from error
    except Exception as error:
        # Lightning's exception is compared by name, so that nothing has to import Lightning.
        if isinstance(error, (ValueError, OSError)) or type(error).__name__ == "MisconfigurationException":
            raise UserError(str(error)) from error
        raise


def instantiation_problem(error: InstantiationException) -> str:
    """Return what a constructor says, in one line; its key stands before what does not name it."""
    cause, message = error.__cause__, str(error)
    if isinstance(cause, (ValueError, OSError)):
        return str(cause)
    key = typed_key(message.rpartition("full_key: ")[2].strip()) if "full_key: " in message else ""
    if unknown := re.search(r"(\S+?)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'", str(cause)):
        return (
            f"{key}.{unknown[2]} is no setting of {unknown[1]}: remove it with ~{key}.{unknown[2]}, or choose the part "
            "that it belongs to"
        )
    if isinstance(cause, TypeError):
        return f"{key} cannot be made from its settings: {cause}"
    return " ".join(message.split())
