"""A user's mistake: told in plain sentences, without a traceback, before work starts where that can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra.errors import CompactHydraException, InstantiationException


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
        """The problems, a line each, as they are shown."""
        head = "This cannot run:" if len(self.problems) == 1 else f"This cannot run, for {len(self.problems)} reasons:"
        return "\n".join([head, *(f"  - {problem}" for problem in self.problems)])


class WorkError(UserError):
    """What was asked for is right, and could not be done, as on a full disk."""

    exit_code = 1

    def report(self) -> str:
        """The problems, a line each."""
        return "\n".join(self.problems)


@contextmanager
def user_errors() -> Iterator[None]:
    """Within, what constructors object to becomes a `UserError`."""
    try:
        yield
    except UserError:
        raise
    except InstantiationException as error:
        cause = error.__cause__
        raise UserError(str(cause) if isinstance(cause, (ValueError, OSError)) else str(error)) from error
    except Exception as error:
        # Lightning's own objections are told by name, so that nobody has to import it to ask.
        if isinstance(error, (ValueError, OSError)) or type(error).__name__ == "MisconfigurationException":
            raise UserError(str(error)) from error
        raise
