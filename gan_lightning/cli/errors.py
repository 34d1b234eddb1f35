"""A user's mistake: told in plain sentences, without a traceback, before work starts where that can be."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.errors import CompactHydraException


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
