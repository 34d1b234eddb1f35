"""A run ends early: after evaluations without a better metric, or after hours of training."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from lightning import Callback, LightningModule, Trainer

from gan_lightning.callbacks.evaluation import Evaluation
from gan_lightning.callbacks.periodic import Periodic, as_gan
from gan_lightning.gan import GAN
from gan_lightning.utils.checks import check_state

SECONDS_PER_HOUR = 3600


class Stop(Periodic):
    """Ends a run that no longer improves, or that has used up its hours; on all ranks at the same iteration.

    An evaluation is without a better metric if it is not the best yet, see `Evaluation`. Hours are those of training,
    evaluations included, also before the run was resumed. `Checkpoint` acts later and saves both counts.

    Args:
        every: iterations between two looks at the clock, which is that of rank 0.
        patience: evaluations in a row without a better metric that end the run; None for any number.
        max_hours: that end the run; None for any number.

    Attributes:
        reason: why the run has ended early; None as long as it has not.
    """

    def __init__(self, every: int, patience: int | None = None, max_hours: float | None = None) -> None:
        super().__init__(every)
        self.patience, self.max_hours = patience, max_hours
        self.reason: str | None = None
        self._evaluations, self._seconds = 0, 0.0
        self._started: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return self._seconds + (0.0 if self._started is None else time.monotonic() - self._started)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._started = time.monotonic()

    def next_iteration(self, iterations: int) -> float:
        """Return the iteration of the next look at the clock; infinity without `max_hours`."""
        return math.inf if self.max_hours is None else super().next_iteration(iterations)

    def run(self, trainer: Trainer, gan: GAN) -> None:
        if self.max_hours is not None:
            seconds = trainer.strategy.broadcast(self.seconds)
            self.end(trainer, gan, stop_reason(None, self.max_hours, 0, seconds))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the evaluation that has been made."""
        gan, callbacks = as_gan(pl_module), getattr(trainer, "callbacks", [])
        evaluation = next((part for part in callbacks if isinstance(part, Evaluation)), None)
        if evaluation is None or evaluation.monitor is None:
            return
        self._evaluations = 0 if evaluation.best_iteration == gan.iterations else self._evaluations + 1
        self.end(trainer, gan, stop_reason(self.patience, None, self._evaluations, 0))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do nothing: the run has ended."""

    def end(self, trainer: Trainer, gan: GAN, reason: str | None) -> None:
        """End training if there is a `reason` and the run is not over anyway."""
        if reason is not None and self.reason is None and gan.iterations < gan.max_iterations:
            self.reason = reason
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know: the arguments of `stop_reason` that are counted."""
        return {"evaluations": self._evaluations, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Count on from where a checkpoint was."""
        check_state("callbacks.stopping", state_dict, {"evaluations": int, "seconds": (int, float)})
        self._evaluations, self._seconds = state_dict["evaluations"], state_dict["seconds"]


def stop_reason(
    patience: int | None, max_hours: float | None, evaluations: int = 0, seconds: float = 0.0
) -> str | None:
    """Return why a run ends early; None if it does not.

    Args:
        patience: evaluations in a row without a better metric that end it; None for any number.
        max_hours: of training that end it; None for any number.
        evaluations: made in a row without a better metric.
        seconds: of training.
    """
    if patience is not None and evaluations >= patience:
        count = "1 evaluation" if evaluations == 1 else f"{evaluations} evaluations"
        return f"no better metric in {count} (stop.patience={patience})"
    if max_hours is not None and seconds >= max_hours * SECONDS_PER_HOUR:
        return f"{seconds / SECONDS_PER_HOUR:.3g} hours of training (stop.max_hours={max_hours:g})"
    return None


def why_ended_early(callbacks: Sequence[Callback], gan: GAN) -> str | None:
    """Return why training has ended before its budget; None if it has not.

    A callback of ours has a `reason`, Lightning's EarlyStopping a `stopping_reason_message`, others say nothing.
    """
    if gan.iterations >= gan.max_iterations:
        return None
    reasons = [getattr(part, "reason", None) for part in callbacks]
    messages = [getattr(part, "stopping_reason_message", None) for part in callbacks]
    found = next((text for text in (*reasons, *messages) if text), "ended by a callback")
    return str(found).removesuffix(" Signaling Trainer to stop.")
