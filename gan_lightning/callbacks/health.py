"""Recognises a game that goes wrong, says so once, and ends one that is past saving."""

from __future__ import annotations

import logging
import math
import os
from typing import Any

import torch
from lightning import LightningModule, Trainer

from gan_lightning.callbacks import symptoms
from gan_lightning.callbacks.checkpoint import Checkpoint
from gan_lightning.callbacks.evaluation import Evaluation, real_data
from gan_lightning.callbacks.periodic import Periodic, playing
from gan_lightning.callbacks.probe import batch_for, not_finite, probe
from gan_lightning.callbacks.symptoms import ADVICE, FEWEST_TURNS, Course, Record
from gan_lightning.checks import positive, whole
from gan_lightning.data.base import RealData
from gan_lightning.data.distributions import GaussianMixture
from gan_lightning.data.toys import ToyData
from gan_lightning.gan import GAN
from gan_lightning.loggers import WandB

log = logging.getLogger(__name__)


class DivergedError(ArithmeticError):
    """The game holds numbers that are infinite or none, and cannot go on."""


class Health(Periodic):
    """Warns of a game that goes wrong: what was seen, since which iteration, and what to try.

    - `mode_collapse`: fakes lie far closer together than data do.
    - `missing_classes`, `missing_modes`: ``val/class_entropy`` or ``val/modes`` say so, where a metric gives them.
    - `discriminator_wins`: it tells all fakes from data, and the generator's gradient vanishes. The first alone is no
      harm: most good games on images are so.
    - `discriminator_dead`: it says the same of everything.
    - `saturation`: the generator's values are stuck at the ends of ``data.value_range``, where the data's are not.
    - `oscillation`: the monitored metric swings, and has not been better for many evaluations.
    - `diverged`: weights, running statistics or losses are infinite or no number. That ends the run, on all ranks.

    A symptom is told once when it begins and once when it is gone: in the log, as an alert of W&B (when it begins), and
    in ``result.json`` under `health`. What is judged are the generator itself and the discriminator, in evaluation
    mode, by a few samples on the first rank. Nothing that training depends on is touched.

    Args:
        every: iterations between two looks for what is not finite.
        probe_every: iterations between two looks for all else. One costs about half an iteration of 64 images.
        count: data, and fakes, that are looked at; no more than a device's batch.
        patience: how often in a row something must be seen before it counts. Networks at their start, and a bad moment,
            look ill too.
        critic: the discriminator's output is no log-odds of being real, so that its scores have a scale of their own.
        least_diversity: distance between two fakes over that between two data. Good fakes have about 1, those of one
            class among ten about .75, those of one mode of many next to 0.
        least_entropy: of the share that classes alike would have; .5 is about 3 of 10 classes.
        least_modes: share of the modes, those that there are or that were found before.
        separable: share of pairs of a real and a fake sample that the discriminator ranks rightly, of which none is
            left to be fooled.
        vanishing: what the gradient promises a fake that goes all the way to the data, as a share of the difference in
            score. About 1 for an even slope; a hundredth is a plateau.
        least_spread: of the discriminator's log-odds, as a standard deviation. At the game's end they are all near 0,
            but not the same; .001 is no sample more likely than another by a thousandth.
        least_inside: values of fakes not at the ends of the range, as a share of those of the data. Digits have 5 of 6
            pixels there, so that the data must be the measure.
        stale: evaluations in a row of which none was the best, before swings count.
        swing: range of the monitored metric over these, as a share of its median; less is noise.

    Attributes:
        records: what was found, for ``result.json``.

    Raises:
        DivergedError: see above.
    """

    def __init__(
        self,
        every: int,
        probe_every: int,
        count: int = 32,
        patience: int = 2,
        critic: bool = False,
        least_diversity: float = 0.2,
        least_entropy: float = 0.5,
        least_modes: float = 0.75,
        separable: float = 0.99,
        vanishing: float = 0.01,
        least_spread: float = 1e-3,
        least_inside: float = 0.1,
        stale: int = 10,
        swing: float = 0.5,
    ) -> None:
        super().__init__(every)
        key = "callbacks.health"
        self.probe_every = whole(f"{key}.probe_every", probe_every)
        self.count = whole(f"{key}.count", count, minimum=2)
        self.critic = critic
        self.least_diversity = fraction(f"{key}.least_diversity", least_diversity)
        self.least_entropy = fraction(f"{key}.least_entropy", least_entropy)
        self.least_modes = fraction(f"{key}.least_modes", least_modes)
        self.separable = fraction(f"{key}.separable", separable)
        self.vanishing = positive(f"{key}.vanishing", vanishing)
        self.least_spread = positive(f"{key}.least_spread", least_spread)
        self.least_inside = fraction(f"{key}.least_inside", least_inside)
        self.stale = whole(f"{key}.stale", stale, minimum=FEWEST_TURNS + 2)
        self.swing = positive(f"{key}.swing", swing)
        self.course = Course(whole(f"{key}.patience", patience))
        self.probed_at = self.evaluated_at = 0
        self.most_modes = 0.0
        self.monitored: list[float] = []  # since the best, the newest last

    @property
    def records(self) -> list[Record]:
        return self.course.records

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        gan, data = playing(pl_module), real_data(trainer)
        self.data = data
        callbacks = getattr(trainer, "callbacks", [])
        self.evaluation = next((part for part in callbacks if isinstance(part, Evaluation)), None)
        if trainer.is_global_zero:
            batch = data.batch_size // trainer.world_size // gan.micro_batches
            count = batch_for(gan.discriminator, min(self.count, batch))
            self.real = next(iter(data.labelled_reference_batches(gan.device, batch_size=count)))
        super().on_train_start(trainer, gan)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        gan = playing(pl_module)
        if self.evaluation is not None and gan.iterations % self.evaluation.every == 0:
            self.look_at_metrics(trainer, gan)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        self.look_at_metrics(trainer, playing(pl_module))

    def act(self, trainer: Trainer, gan: GAN) -> None:
        self.stop_if_diverged(trainer, gan)
        if trainer.is_global_zero and gan.iterations // self.probe_every > self.probed_at // self.probe_every:
            self.probed_at = gan.iterations
            self.note(trainer, gan.iterations, self.examined(gan))

    def stop_if_diverged(self, trainer: Trainer, gan: GAN) -> None:
        """End the run if a weight is not finite, on all ranks at once.

        So it is with a loss, but under a gradient scaler: that leaves out the step of a bad loss, and tries again.

        Raises:
            DivergedError: then.
        """
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        found = not_finite(gan) or (None if scaled else bad_loss(gan))
        if trainer.strategy.reduce_boolean_decision(found is None):
            return
        saw = f"{found or 'a number of another rank'} is not finite"
        if trainer.is_global_zero:
            alert(trainer, self.course.begin("diverged", gan.iterations, saw))
        raise DivergedError(
            f"diverged: at iteration {gan.iterations} {saw}; {left(trainer)}; try: {ADVICE['diverged']}"
        )

    def examined(self, gan: GAN) -> dict[str, str | None]:
        """What a probe shows of each symptom that it can show."""
        found = probe(gan, self.real, self.data.value_range)
        seen: dict[str, str | None] = {}
        if found.diversity is not None:
            seen["mode_collapse"] = symptoms.low_diversity(found.diversity, self.least_diversity)
        if found.fake_inside is not None and found.real_inside is not None:
            seen["saturation"] = symptoms.saturated(found.fake_inside, found.real_inside, self.least_inside)
        seen["discriminator_wins"] = symptoms.hopeless(found.scores, self.separable, self.vanishing)
        seen["discriminator_dead"] = symptoms.dead(found.scores, self.least_spread, self.critic)
        return seen

    def look_at_metrics(self, trainer: Trainer, gan: GAN) -> None:
        """Judge the newest evaluation, once."""
        if not trainer.is_global_zero or not gan.metrics or self.evaluated_at == gan.iterations:
            return
        self.evaluated_at = gan.iterations
        seen: dict[str, str | None] = {}
        classes = evenly_over_classes(self.data)
        if "val/class_entropy" in gan.metrics and classes > 0:
            seen["missing_classes"] = symptoms.few_classes(
                gan.metrics["val/class_entropy"], classes, self.least_entropy
            )
        if "val/modes" in gan.metrics:
            self.most_modes = max(self.most_modes, gan.metrics["val/modes"])
            expected = max(self.most_modes, number_of_modes(self.data))
            seen["missing_modes"] = symptoms.few_modes(gan.metrics["val/modes"], expected, self.least_modes)
        monitor = None if self.evaluation is None else self.evaluation.monitor
        if self.evaluation is not None and monitor in gan.metrics:
            self.remember(gan.metrics[monitor], best=self.evaluation.best_iteration == gan.iterations)
            stale = self.monitored if len(self.monitored) == self.stale else []
            seen["oscillation"] = symptoms.swinging(monitor, stale, self.swing)
        self.note(trainer, gan.iterations, seen)

    def remember(self, value: float, best: bool) -> None:
        """Keep the last values of the monitored metric, those since it was best."""
        self.monitored = [] if best else [*self.monitored, value][-self.stale :]

    def note(self, trainer: Trainer, iteration: int, seen: dict[str, str | None]) -> None:
        """Tell what has begun, and what is gone."""
        for record in self.course.observe(iteration, seen):
            name = record["symptom"].replace("_", " ")
            if record["until"] is not None:
                log.warning(f"iteration {iteration}: {name} is gone since iteration {record['until']}")
            else:
                log.warning(
                    f"iteration {iteration}: {name} since iteration {record['since']}: {record['saw']}; "
                    f"try: {record['try']}"
                )
                alert(trainer, record)

    def state_dict(self) -> dict[str, Any]:
        """What a continued run must know."""
        return {
            "records": self.course.records,
            "streaks": self.course.streaks,
            "probed_at": self.probed_at,
            "evaluated_at": self.evaluated_at,
            "most_modes": self.most_modes,
            "monitored": self.monitored,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what a checkpoint knows."""
        self.course.records, self.course.streaks = state_dict["records"], state_dict["streaks"]
        self.probed_at, self.evaluated_at = state_dict["probed_at"], state_dict["evaluated_at"]
        self.most_modes, self.monitored = state_dict["most_modes"], state_dict["monitored"]


def fraction(key: str, value: object) -> float:
    """`value` as a float if it is above 0 and at most 1; else a ValueError that names `key`."""
    if positive(key, value) > 1:
        raise ValueError(f"{key} must be above 0 and at most 1, not {value!r}")
    return positive(key, value)


def bad_loss(gan: GAN) -> str | None:
    """The first of the last turn's losses that is infinite or no number; None where there is none."""
    if not gan.losses or torch.stack([loss.float() for loss in gan.losses.values()]).isfinite().all():
        return None
    return next(f"the loss {name}" for name, loss in gan.losses.items() if not loss.isfinite())


def evenly_over_classes(data: RealData) -> float:
    """The entropy of the shares of the data's classes, all alike, over that of all that labels may name; 0: unknown."""
    kept = getattr(data, "classes", None)
    count = data.num_classes if kept is None else len(kept)
    return math.log(count) / math.log(data.num_classes) if count and count > 1 and data.num_classes else 0.0


def number_of_modes(data: RealData) -> int:
    """How many modes the data have; 0 where that is not known."""
    if isinstance(data, ToyData) and isinstance(data.distribution, GaussianMixture):
        return len(data.distribution.centers)
    return 0


def left(trainer: Trainer) -> str:
    """What a run that ends now has saved, in a few words."""
    for part in getattr(trainer, "callbacks", []):
        if isinstance(part, Checkpoint) and (path := part.directory / "last.ckpt").exists():
            return f"{os.path.relpath(path)} is from before"
    return "nothing was saved before"


def alert(trainer: Trainer, record: Record) -> None:
    """Tell those who follow the run elsewhere."""
    for logger in trainer.loggers:
        if isinstance(logger, WandB):
            title = f"{record['symptom'].replace('_', ' ')} since iteration {record['since']}"
            logger.alert(title, f"{record['saw']}; try: {record['try']}")
