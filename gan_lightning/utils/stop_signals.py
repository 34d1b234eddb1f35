"""Signals that ask a run to stop, and how it ends then."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from rich import get_console

TRY_AGAIN = 75
"""Exit code of a run that a signal has stopped and that can be resumed: EX_TEMPFAIL of sysexits.h."""

STOPPED_BY_HAND = 128 + signal.SIGINT
"""Exit code of a run that was stopped with Ctrl+C, as shells give it."""

SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGUSR2", "SIGINT") if hasattr(signal, name)]
"""Signals that stop a run. Schedulers send SIGTERM or a SIGUSR (submitit the second), Ctrl+C sends SIGINT."""


class Interrupted(SystemExit):
    """A signal has stopped the run.

    Args:
        received: the signal, which decides the exit code of the process.
        report: one line on what was saved.
    """

    def __init__(self, received: signal.Signals, report: str) -> None:
        super().__init__(STOPPED_BY_HAND if received == signal.SIGINT else TRY_AGAIN)
        self.report = f"{received.name}: {report}"


class StopSignals:
    """Notes the first of `SIGNALS` from `listen` to `restore`, so that the running step can end and be saved.

    Attributes:
        received: the first signal; None before.
        first_rank: this process saves, and quits at once at a second Ctrl+C; other ranks wait for its end.
        before: the handlers that stood there before `listen`.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.first_rank = True
        self.before: dict[signal.Signals, Any] = {}

    def listen(self) -> None:
        """Handle the signals, in place of other handlers; called again, also of those that were set since."""
        if threading.current_thread() is not threading.main_thread():
            return  # only there can it be done
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if handler != signal.SIG_IGN or number != signal.SIGINT:  # a job in the background ignores Ctrl+C
                self.before.setdefault(number, handler)
                signal.signal(number, self._receive)

    def restore(self) -> None:
        """Put the handlers back that `listen` found first."""
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT and self.first_rank:
            get_console().show_cursor(True)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        self.received = self.received or signal.Signals(number)
