"""When a run is evaluated, and which of its evaluations was the best."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from lightning import LightningModule, Trainer

from gan_lightning.callbacks.periodic import Periodic, as_gan
from gan_lightning.data.base import RealData
from gan_lightning.evaluation.evaluator import BATCH_SIZE, Evaluator
from gan_lightning.evaluation.protocol import same_protocol
from gan_lightning.gan import GAN
from gan_lightning.metrics.base import SampleMetric
from gan_lightning.utils.checks import NUMBER_OR_NONE, check_int, check_state
from gan_lightning.utils.distributed import run_on_rank_zero
from gan_lightning.utils.files import cache_folder
from gan_lightning.utils.log_handler import file_log

log = logging.getLogger(__name__)


STATE: dict[str, type | tuple[type, ...]] = {
    "best": NUMBER_OR_NONE,
    "best_iteration": NUMBER_OR_NONE,
    "last_iteration": NUMBER_OR_NONE,
    "protocol": (dict, type(None)),
}
"""What a checkpoint keeps, and of which kinds that is."""


class Evaluation(Periodic):
    """Evaluates `num_fakes` samples every `every` iterations and logs the metrics as ``val/<key>``.

    The fakes are made by the averaged generator from the same latents each time, so that two evaluations differ by the
    generator alone. All ranks share the work, and all get the results in `gan.metrics`. Metrics see the reference
    samples once, before the first update, so that data which a metric does not read ends the run then and not hours
    later. Nothing that training depends on is touched: no mode, no random state.

    The metrics and their networks live here, and never enter a checkpoint; what was best does.

    Args:
        every: iterations between two evaluations.
        metrics: what is measured, by any names; none: nothing is.
        num_fakes: fakes of an evaluation, exactly, over all ranks.
        batch_size: largest number of samples generated or evaluated at a time on a rank.
        monitor: the number that says which evaluation is the best, such as ``val/fid``; None when none does.
        mode: whether the smallest or the largest of it is best.
        cache: the folder where the metrics' states of real samples are kept for other runs, `auto` as `cache_folder`
            says; None keeps nothing.

    Attributes:
        protocol: how the numbers are measured; None before training starts.
        last_iteration: of the last evaluation.
        best: the monitored number at its best; None before the first.
        best_iteration: when that was.
        improved: whether the last evaluation was the best yet; `Checkpoint` sets it to False once it has saved it.

    Raises:
        ValueError: two metrics give the same number, or none gives the one that is monitored.
    """

    def __init__(
        self,
        every: int,
        metrics: Mapping[str, SampleMetric],
        num_fakes: int,
        batch_size: int = BATCH_SIZE,
        monitor: str | None = None,
        mode: Literal["min", "max"] = "min",
        cache: str | None = None,
    ) -> None:
        super().__init__(every)
        if mode not in ("min", "max"):
            raise ValueError(f"metrics.mode must be min or max, not {mode!r}")
        self.evaluator = Evaluator(metrics, check_int("batch_size", batch_size), cache_folder(cache))
        self.metrics = self.evaluator.metrics
        self.num_fakes = check_int("metrics.num_fakes", num_fakes)
        self.monitor, self.mode = monitor, mode
        self.best: float | None = None
        self.best_iteration: int | None = None
        self.last_iteration: int | None = None
        self.protocol: dict[str, Any] | None = None
        self.improved = False
        measured = self.evaluator.keys
        if monitor is not None and monitor not in measured:
            raise ValueError(f"metrics.monitor={monitor} is not measured: choose from {', '.join(measured) or 'null'}")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """See that the metrics can evaluate such fakes, and show them the reference samples."""
        if self.metrics:
            gan, data = as_gan(pl_module), real_data(trainer)
            self.evaluator.prepare_gan(gan, data, self.num_fakes, trainer.global_rank, trainer.world_size)
            # By rank 0, for the fingerprint of the data may mean to read all of it.
            protocol = run_on_rank_zero(lambda: self.evaluator.gan_protocol(gan, data, self.num_fakes))
            self.use_protocol(protocol, tell=trainer.is_global_zero)
        super().on_train_start(trainer, pl_module)

    def run(self, trainer: Trainer, gan: GAN) -> None:
        """Evaluate, keep the best in mind, and log."""
        if not self.metrics:
            return
        measured = self.evaluator.evaluate_gan(gan, self.num_fakes, trainer.global_rank, trainer.world_size)
        # From rank 0, so that a difference in the last bit cannot make one rank save a best checkpoint and another not.
        values = trainer.strategy.broadcast(measured)
        self.last_iteration = gan.iterations
        if self.monitor is not None:
            self.remember(values[self.monitor], gan.iterations)
            if self.best is not None:
                values[f"{self.monitor}_best"] = self.best
        gan.metrics.update(values)
        if trainer.is_global_zero:
            numbers = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
            file_log.info(f"iteration {gan.iterations}: {numbers}")
            for logger in trainer.loggers:
                logger.log_metrics(values, step=gan.iterations)
        # To Lightning's own callbacks an evaluation is a validation: EarlyStopping and ModelCheckpoint act after it.
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in values.items()})
        for callback in getattr(trainer, "callbacks", []):
            callback.on_validation_end(trainer, gan)

    def use_protocol(self, protocol: dict[str, Any], tell: bool = True) -> None:
        """Take note of how numbers are measured from now on, and forget a best that was measured in another way."""
        before, self.protocol = self.protocol, protocol
        if self.best is None or self.monitor is None or before is None:
            return
        if not same_protocol(before, protocol, self.monitor):
            if tell:
                log.info("the best %s, %.4g, is forgotten: it was measured in another way", self.monitor, self.best)
            self.best = self.best_iteration = None

    def remember(self, value: float, iteration: int) -> None:
        """Note `value` if it is the best yet; NaN never is."""
        sign = 1.0 if self.mode == "min" else -1.0
        self.improved = not math.isnan(value) and (self.best is None or sign * value < sign * self.best)
        if self.improved:
            self.best, self.best_iteration = value, iteration

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        return {
            "best": self.best,
            "best_iteration": self.best_iteration,
            "last_iteration": self.last_iteration,
            "protocol": self.protocol,
            "monitor": self.monitor,
            "mode": self.mode,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from what a checkpoint knows; the best of another monitor is forgotten."""
        check_state("callbacks.evaluation", state_dict, STATE)
        if (state_dict["monitor"], state_dict["mode"]) == (self.monitor, self.mode):
            self.best, self.best_iteration = state_dict["best"], state_dict["best_iteration"]
        self.last_iteration, self.protocol = state_dict["last_iteration"], state_dict["protocol"]


def real_data(trainer: Any) -> RealData:
    """Return the trainer's data module, an attribute that its type does not declare."""
    return trainer.datamodule


def evaluated(evaluation: Evaluation | None) -> dict[str, Any]:
    """Return what ``result.json`` says of the evaluations of a run: the best, when the last was, how they measured."""
    if evaluation is None:
        return {"monitor": None, "final_iteration": None, "protocol": None, "best": {}}
    best: dict[str, Any] = {}
    if evaluation.monitor is not None and evaluation.best is not None:
        best = {evaluation.monitor: evaluation.best, "iteration": evaluation.best_iteration}
    return {
        "monitor": evaluation.monitor,
        "final_iteration": evaluation.last_iteration,
        "protocol": evaluation.protocol,
        "best": best,
    }
