"""Metrics of fakes from the averaged generator, and which of the evaluations was the best."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from typing import Any, Literal

import torch
from lightning import LightningModule, Trainer

from gan_lightning.callbacks.periodic import Periodic, playing
from gan_lightning.checks import whole
from gan_lightning.data.base import RealData, share
from gan_lightning.gan import GAN
from gan_lightning.metrics.base import SampleMetric

log = logging.getLogger(__name__)

WORTH_TELLING_SECONDS = 5.0


class Evaluation(Periodic):
    """Judges `num_fakes` samples every `every` iterations and logs the metrics as ``val/<key>``.

    The fakes are made by the averaged generator from the same latents each time, so that two evaluations differ by the
    generator alone. All ranks share the work, and all get the results in `gan.metrics`. Real samples are counted once,
    before the first update, so that data which a metric cannot judge is told then and not hours later. Nothing that
    training depends on is touched: no mode, no random state.

    The metrics and their networks live here, and never enter a checkpoint; what was best does.

    Args:
        every: iterations between two evaluations.
        metrics: what is measured, by any names; none: nothing is.
        num_fakes: fakes that are judged, exactly, over all ranks.
        batch_size: largest number of samples generated or judged at a time on a rank.
        monitor: the number that says which evaluation is the best, such as ``val/fid``; None when none does.
        mode: whether the smallest or the largest of it is best.

    Attributes:
        best: the monitored number at its best; None before the first.
        best_iteration: when that was.
        improved: whether the last evaluation was the best yet; whoever has used it may set it to False.

    Raises:
        ValueError: two metrics give the same number, or none gives the one that is monitored.
    """

    def __init__(
        self,
        every: int,
        metrics: Mapping[str, SampleMetric],
        num_fakes: int,
        batch_size: int = 500,
        monitor: str | None = None,
        mode: Literal["min", "max"] = "min",
    ) -> None:
        super().__init__(every)
        if mode not in ("min", "max"):
            raise ValueError(f"metrics.mode must be min or max, not {mode!r}")
        self.metrics = dict(metrics)
        self.num_fakes = whole("metrics.num_fakes", num_fakes)
        self.batch_size = whole("batch_size", batch_size)
        self.monitor, self.mode = monitor, mode
        self.best: float | None = None
        self.best_iteration: int | None = None
        self.improved = False
        self._real_known = False
        measured = [f"val/{key}" for metric in self.metrics.values() for key in metric.keys]
        twice = sorted({key for key in measured if measured.count(key) > 1})
        if twice:
            raise ValueError(f"metrics.metrics has two metrics that give {' and '.join(twice)}: leave one of them out")
        if monitor is not None and monitor not in measured:
            raise ValueError(f"metrics.monitor={monitor} is not measured: choose from {', '.join(measured) or 'null'}")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """See that the fakes will have the classes that a metric needs, and count the real samples."""
        latent = playing(pl_module).draw(1, "evaluation")
        for metric in self.metrics.values():
            metric.check_labels(latent.labels)
        self.count_real(real_data(trainer), pl_module.device, trainer.global_rank, trainer.world_size)
        super().on_train_start(trainer, pl_module)

    def act(self, trainer: Trainer, gan: GAN) -> None:
        """Evaluate, keep the best in mind, and log."""
        if not self.metrics:
            return
        # From rank 0, so that a difference in the last bit cannot make one rank save a best checkpoint and another not.
        values = trainer.strategy.broadcast(self.measure(gan, trainer.global_rank, trainer.world_size))
        if self.monitor is not None:
            self.remember(values[self.monitor], gan.iterations)
            if self.best is not None:
                values[f"{self.monitor}_best"] = self.best
        gan.metrics.update(values)
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_metrics(values, step=gan.iterations)

    def count_real(self, data: RealData, device: torch.device | str, rank: int = 0, world_size: int = 1) -> None:
        """Bring the metrics to `device` and take this rank's share of the reference samples into them, once."""
        if self._real_known or not self.metrics:
            return
        started = time.monotonic()
        for metric in self.metrics.values():
            metric.to(device)
        for batch in data.reference_batches(device, rank, world_size, self.batch_size):
            for metric in self.metrics.values():
                metric.update(batch, real=True)
        self._real_known = True
        seconds = time.monotonic() - started
        if rank == 0 and seconds > WORTH_TELLING_SECONDS:
            log.info("took the statistics of the real samples in %.0f s, once for the run", seconds)

    def measure(self, gan: GAN, rank: int = 0, world_size: int = 1) -> dict[str, float]:
        """The metrics of `gan` as it is, by their names in the log; the real samples must have been counted."""
        latent = gan.draw(self.num_fakes, "evaluation")
        mine = share(self.num_fakes, rank, world_size)
        for metric in self.metrics.values():
            metric.reset()
        for start in range(mine.start, mine.stop, self.batch_size):
            asked = latent[start : min(start + self.batch_size, mine.stop)]
            fakes = gan.generate(asked).float()  # the same object for all, so that they share an extractor's work
            for metric in self.metrics.values():
                metric.update(fakes, real=False, labels=asked.labels)
        return {f"val/{key}": value for metric in self.metrics.values() for key, value in metric.compute().items()}

    def remember(self, value: float, iteration: int) -> None:
        """Note whether `value` is the best yet; one that is not a number never is."""
        sign = 1.0 if self.mode == "min" else -1.0
        self.improved = not math.isnan(value) and (self.best is None or sign * value < sign * self.best)
        if self.improved:
            self.best, self.best_iteration = value, iteration

    def state_dict(self) -> dict[str, Any]:
        """What a continued run must know."""
        return {"best": self.best, "best_iteration": self.best_iteration}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what a checkpoint knows."""
        self.best, self.best_iteration = state_dict["best"], state_dict["best_iteration"]


def real_data(trainer: Any) -> RealData:
    """The trainer's data module, an attribute that its type does not declare."""
    return trainer.datamodule
