"""Metrics of fakes from the averaged generator, and which of the evaluations was the best."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from lightning import LightningModule, Trainer

from gan_lightning.callbacks.periodic import Periodic
from gan_lightning.data.base import RealData, rank_slice
from gan_lightning.evaluation.evaluator import Evaluator
from gan_lightning.evaluation.protocol import protocol_of, same_protocol
from gan_lightning.extractors.base import full_float32
from gan_lightning.gan import GAN, as_gan
from gan_lightning.metrics.base import SampleMetric
from gan_lightning.utils.checks import check_int
from gan_lightning.utils.distributed import run_on_rank_zero
from gan_lightning.utils.files import cache_folder

log = logging.getLogger(__name__)


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
        cache: the folder where what metrics know of the real samples is kept for other runs, `auto` as `cache_folder`
            says; None keeps nothing.

    Attributes:
        protocol: how the numbers are measured; None before the real samples were counted.
        last_iteration: of the last evaluation.
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
        cache: str | None = None,
    ) -> None:
        super().__init__(every)
        if mode not in ("min", "max"):
            raise ValueError(f"metrics.mode must be min or max, not {mode!r}")
        self.batch_size = check_int("batch_size", batch_size)
        self.evaluator = Evaluator(metrics, self.batch_size, cache_folder(cache))
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
        """See that the fakes will have the classes that a metric needs, and count the real samples."""
        latent = as_gan(pl_module).fixed_latents(1, "evaluation")
        for metric in self.metrics.values():
            metric.check_labels(latent.labels)
        if self.metrics:
            data = real_data(trainer)
            self.prepare_reference(data, pl_module.device, trainer.global_rank, trainer.world_size)
            for metric in self.metrics.values():
                metric.check_count(self.num_fakes)
            # By rank 0, for the fingerprint of the data may mean to read all of it.
            described = run_on_rank_zero(lambda: self.described(as_gan(pl_module), data))
            self.compare_from_now_on(described, tell=trainer.is_global_zero)
        super().on_train_start(trainer, pl_module)

    def run(self, trainer: Trainer, gan: GAN) -> None:
        """Evaluate, keep the best in mind, and log."""
        if not self.metrics:
            return
        # From rank 0, so that a difference in the last bit cannot make one rank save a best checkpoint and another not.
        values = trainer.strategy.broadcast(self.measure(gan, trainer.global_rank, trainer.world_size))
        self.last_iteration = gan.iterations
        if self.monitor is not None:
            self.remember(values[self.monitor], gan.iterations)
            if self.best is not None:
                values[f"{self.monitor}_best"] = self.best
        gan.metrics.update(values)
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_metrics(values, step=gan.iterations)

    def prepare_reference(self, data: RealData, device: torch.device | str, rank: int = 0, world_size: int = 1) -> None:
        """Bring the metrics to `device` and take this rank's share of the reference samples into them, once."""
        self.evaluator.prepare_reference(data, device, rank, world_size)

    def measure(self, gan: GAN, rank: int = 0, world_size: int = 1) -> dict[str, float]:
        """The metrics of `gan` as it is, by their names in the log; the real samples must have been counted."""
        latent = gan.fixed_latents(self.num_fakes, "evaluation")
        mine = rank_slice(self.num_fakes, rank, world_size)
        starts = range(mine.start, mine.stop, self.batch_size)
        asked = (latent[start : min(start + self.batch_size, mine.stop)] for start in starts)
        fakes = ((gan.generate(part).float(), part.labels) for part in asked)
        with full_float32(gan.device):  # the fakes too, which are made as they are asked for
            return self.evaluator.evaluate(fakes, len(mine), rank)

    def described(self, gan: GAN, data: RealData, weights: str = "ema") -> dict[str, Any]:
        """How the numbers come about, for whoever reads them; see `protocol`."""
        # Fakes are made in float32, whatever the precision of training: see `measure`.
        return protocol_of(
            self.metrics,
            data,
            num_fakes=self.num_fakes,
            batch_size=self.batch_size,
            seed=gan.seed,
            weights=weights,
            precision="float32",
        )

    def compare_from_now_on(self, protocol: dict[str, Any], tell: bool = True) -> None:
        """Numbers come about as `protocol` says: forget the best of those that came about in another way."""
        before, self.protocol = self.protocol, protocol
        if self.best is None or self.monitor is None or before is None:
            return
        if not same_protocol(before, protocol, self.monitor):
            if tell:
                log.info("the best %s, %.4g, is forgotten: it was measured in another way", self.monitor, self.best)
            self.best = self.best_iteration = None

    def remember(self, value: float, iteration: int) -> None:
        """Note whether `value` is the best yet; one that is not a number never is."""
        sign = 1.0 if self.mode == "min" else -1.0
        self.improved = not math.isnan(value) and (self.best is None or sign * value < sign * self.best)
        if self.improved:
            self.best, self.best_iteration = value, iteration

    def state_dict(self) -> dict[str, Any]:
        """What a continued run must know."""
        return {
            "best": self.best,
            "best_iteration": self.best_iteration,
            "last_iteration": self.last_iteration,
            "protocol": self.protocol,
            "monitor": self.monitor,
            "mode": self.mode,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what a checkpoint knows."""
        # What has a default, earlier versions did not save.
        if all(state_dict.get(name, getattr(self, name)) == getattr(self, name) for name in ("monitor", "mode")):
            self.best, self.best_iteration = state_dict["best"], state_dict["best_iteration"]
        self.last_iteration = state_dict.get("last_iteration")
        self.protocol = state_dict.get("protocol")


def real_data(trainer: Any) -> RealData:
    """The trainer's data module, an attribute that its type does not declare."""
    return trainer.datamodule
