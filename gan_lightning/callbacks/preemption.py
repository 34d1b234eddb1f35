"""On a signal to stop, save, report it, and exit with a code that lets schedulers start the run again."""

from __future__ import annotations

import logging
import math
import os
import signal
from typing import Any, NoReturn

from lightning import LightningModule, Trainer
from lightning.pytorch import callbacks as lightning_callbacks

from gan_lightning.callbacks.checkpoint import Checkpoint, NotSavedError
from gan_lightning.callbacks.periodic import as_gan
from gan_lightning.gan import GAN
from gan_lightning.utils.stop_signals import TRY_AGAIN, Interrupted, StopSignals

log = logging.getLogger(__name__)


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
        self.signals = StopSignals()

    @property
    def received(self) -> signal.Signals | None:
        return self.signals.received

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen, before processes that read data are forked: a signal to all of them must not end those."""
        self.signals.first_rank = trainer.is_global_zero
        self.signals.listen()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen again: Lightning has installed its own handler since."""
        self.signals.listen()

    def next_iteration(self, iterations: int) -> float:
        """Return infinity: this waits for a signal."""
        return math.inf

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        gan = as_gan(pl_module)
        # A game that is over ends by itself.
        if self.received is not None and self.signals.first_rank and gan.iterations < gan.max_iterations:
            self._leave(trainer, gan)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save where the signal has ended a process that the game needs, such as one that reads data."""
        trainer._signal_connector.teardown()  # first Lightning's, which would later bring back what it found: ours
        self.signals.restore()
        if self.received is None or isinstance(exception, (Interrupted, NotSavedError)):
            return
        gan = as_gan(pl_module)
        if self.signals.first_rank and not gan.state.within_step:
            self._leave(trainer, gan)
        if not self.signals.first_rank:
            os._exit(TRY_AGAIN)  # the first rank has saved and gone, and the connection with it

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.signals.restore()

    def _leave(self, trainer: Trainer, gan: GAN) -> NoReturn:
        assert self.received is not None
        report = f"stopped at iteration {gan.iterations}; callbacks.checkpoint=null saved nothing"
        for checkpoint in (part for part in getattr(trainer, "callbacks", []) if isinstance(part, Checkpoint)):
            checkpoint.save(trainer)
            run = os.path.relpath(checkpoint.directory.parent)
            report = (
                f"saved iteration {gan.iterations}; to resume: ckpt_path={run}, or the same command where it had "
                "resume=auto"
            )
        for logger in trainer.loggers:
            logger.finalize("success")  # it has not crashed
        if trainer.strategy.launcher is not None:
            trainer.strategy.launcher.kill(signal.SIGKILL)
        before = self.signals.before.get(self.received)
        if callable(before) and self.received != signal.SIGINT:
            before(self.received, None)  # a launcher's own, such as submitit's, which queues the job again
        raise Interrupted(self.received, report)
