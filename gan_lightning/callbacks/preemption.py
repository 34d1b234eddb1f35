"""On a signal to stop, save, report it, and exit with a code that lets schedulers start the run again."""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
from types import FrameType
from typing import Any, NoReturn

from lightning import LightningModule, Trainer
from lightning.pytorch import callbacks as lightning_callbacks
from rich import get_console

from gan_lightning.callbacks.checkpoint import Checkpoint, NotSavedError
from gan_lightning.callbacks.periodic import as_gan
from gan_lightning.gan import GAN

log = logging.getLogger(__name__)

TRY_AGAIN = 75
"""Exit code of a run that a signal has stopped and that can be resumed: EX_TEMPFAIL of sysexits.h."""

STOPPED_BY_HAND = 128 + signal.SIGINT
"""Exit code of a run that was stopped with Ctrl+C, as shells give it."""

SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGUSR2", "SIGINT") if hasattr(signal, name)]
"""Signals that stop a run. Schedulers send SIGTERM or a SIGUSR (submitit the second), Ctrl+C sends SIGINT."""


class Interrupted(SystemExit):
    """A signal has stopped the run.

    Args:
        code: the exit code of the process.
        report: one line on what was saved.
    """

    def __init__(self, code: int, report: str) -> None:
        super().__init__(code)
        self.report = report


class Preemption(lightning_callbacks.Checkpoint):
    """On SIGTERM, SIGUSR1, SIGUSR2 or Ctrl+C, saves ``last.ckpt`` at the end of the running step and ends the run.

    The exit code is 75 (for Ctrl+C: 130). A second Ctrl+C quits at once. The first rank saves alone and ends the other
    ranks on its machine; those take no notice of the signals, which a scheduler may send to all processes, and end with
    code 75 when the first is gone.

    Lightning calls a callback of its `Checkpoint` kind after all others, which have thus acted on what is saved here.

    Lightning's own handler of SIGTERM is replaced: it waits for all ranks, wherever each of them is.

    Attributes:
        received: the first signal; None before.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen, before processes that read data are forked: a signal to all of them must not end those."""
        self._first = trainer.is_global_zero
        self._listen()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen again: Lightning has installed its own handler since."""
        self._listen()

    def next_iteration(self, iterations: int) -> float:
        """Return infinity: this waits for a signal."""
        return math.inf

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        gan = as_gan(pl_module)
        # A game that is over ends by itself.
        if self.received is not None and self._first and gan.iterations < gan.max_iterations:
            self._leave(trainer, gan)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save where the signal has ended a process that the game needs, such as one that reads data."""
        trainer._signal_connector.teardown()  # first Lightning's, which would later bring back what it found: ours
        self._restore()
        if self.received is None or isinstance(exception, (Interrupted, NotSavedError)):
            return
        gan = as_gan(pl_module)
        if self._first and not gan.state.within_step:
            self._leave(trainer, gan)
        if not self._first:
            os._exit(TRY_AGAIN)  # the first rank has saved and gone, and the connection with it

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore()

    def _leave(self, trainer: Trainer, gan: GAN) -> NoReturn:
        assert self.received is not None
        report = f"{self.received.name}: stopped at iteration {gan.iterations}; callbacks.checkpoint=null saved nothing"
        for checkpoint in (part for part in getattr(trainer, "callbacks", []) if isinstance(part, Checkpoint)):
            checkpoint.save(trainer)
            run = os.path.relpath(checkpoint.directory.parent)
            report = (
                f"{self.received.name}: saved iteration {gan.iterations}; to resume: ckpt_path={run}, or the same "
                "command where it had resume=auto"
            )
        for logger in trainer.loggers:
            logger.finalize("success")  # it has not crashed
        if trainer.strategy.launcher is not None:
            trainer.strategy.launcher.kill(signal.SIGKILL)
        before = self._before.get(self.received)
        if callable(before) and self.received != signal.SIGINT:
            before(self.received, None)  # a launcher's own, such as submitit's, which queues the job again
        raise Interrupted(STOPPED_BY_HAND if self.received == signal.SIGINT else TRY_AGAIN, report)

    def _listen(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # only there can it be done
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if handler != signal.SIG_IGN or number != signal.SIGINT:  # a job in the background ignores Ctrl+C
                self._before.setdefault(number, handler)
                signal.signal(number, self._receive)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        again = self.received is not None and number == signal.SIGINT
        if again and self._first:
            get_console().show_cursor(True)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        self.received = self.received or signal.Signals(number)
