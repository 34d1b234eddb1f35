"""Recognises a game that goes wrong, says so once, and ends one that is past saving."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from lightning import LightningModule, Trainer

from gan_lightning.callbacks.checkpoint import Checkpoint
from gan_lightning.callbacks.evaluation import Evaluation, real_data
from gan_lightning.callbacks.health_of_metrics import MetricSymptoms
from gan_lightning.callbacks.periodic import Periodic, as_gan
from gan_lightning.diagnostics import symptoms
from gan_lightning.diagnostics.finite import bad_loss, bad_network, bad_objective, largest_weights
from gan_lightning.diagnostics.probe import batch_for, distance_at_start, probe, spread_samples
from gan_lightning.diagnostics.symptoms import ADVICE, AT_START, Record, SymptomTracker, is_record, is_streak
from gan_lightning.game import Batch, has_critic
from gan_lightning.gan import GAN
from gan_lightning.loggers import WandB
from gan_lightning.utils.checks import NUMBER_OR_NONE, check_fraction, check_int, check_positive, check_state

log = logging.getLogger(__name__)

LOOKS_OF_SCALED = 4
"""How often in a row a bad loss is seen under a gradient scaler before it counts: it skips that step, continues with
a smaller scale, and in half precision a single bad moment is nothing special."""


KEPT = ("probed_at", "bad_looks", "absent", "start_distance")
"""What a checkpoint keeps beside the course of the symptoms, and what `MetricSymptoms` keeps."""
STATE: dict[str, type | tuple[type, ...]] = {
    "records": list,
    "streaks": dict,
    "probed_at": int,
    "bad_looks": int,
    "absent": list,
    "start_distance": NUMBER_OR_NONE,
}
"""Of which kinds that is."""


class DivergedError(ArithmeticError):
    """The game holds numbers that are not finite, and cannot continue."""


class Health(Periodic):
    """Warns of a game that goes wrong: what was seen, since which iteration, and what to try.

    - `mode_collapse`: fakes lie far closer together than data do.
    - `missing_classes`, `missing_modes`: ``val/class_entropy`` or ``val/modes`` say so, where a metric gives them.
    - `discriminator_wins`: it tells all fakes from data, and the generator's gradient vanishes. The first alone is no
      harm: most good games on images are so.
    - `discriminator_dead`: it says the same of everything.
    - `saturation`: the generator's values are stuck at the ends of ``data.value_range``, where the data's are not.
    - `oscillation`: the monitored metric swings, and has not been better for many evaluations.
    - `weights_out_of_scale`, `samples_out_of_scale`, `metric_out_of_scale`: weights, fakes, scores or the monitored
      metric are orders of magnitude off. Seen once, they count.
    - `diverged`: weights, running statistics, objectives' states or losses are infinite or no number. That ends the
      run, on all ranks.

    A symptom is told once when it begins and once when it is gone: in the log, as an alert of W&B (when it begins), and
    in ``result.json`` under `health`. What is looked at are the generator itself and the discriminator, with the scores
    of training mode, by a few samples on the first rank. Nothing that training depends on is touched.

    Args:
        every: iterations between two looks for what is not finite.
        probe_every: iterations between two looks for all else, but metrics, which are looked at when they are new. One
            costs about half an iteration of 64 images.
        count: data, and fakes, that are looked at; no more than a device's batch, or a micro-batch of it. Fewer than
            two, or than two packs of a discriminator of packs, say nothing: then there are no such looks.
        patience: how often in a row something must be seen before it counts. A bad moment looks ill too.
        grace_images: before so many real samples were seen, `mode_collapse` and `saturation` count only where they were
            absent before: fakes of untrained networks are nearly alike, with a diversity of .005 to .15 in most. DCGANs
            on digits pass .2 within 1300 samples, toys within 3600; this is ten times as much, 500 iterations of 64.
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
        swing: range of the monitored metric over these, as a share of what it has won since the first evaluation, and
            of its median; less is noise.
        further: how many times as far from the data as at the start fakes are out of scale; training draws them near
        worse: how many times what it was at first a monitored metric, of which less is better, is out of scale. Runs
            that learn stayed below 1.2 times that.

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
        grace_images: int = 32_000,
        least_diversity: float = 0.2,
        least_entropy: float = 0.5,
        least_modes: float = 0.75,
        separable: float = 0.99,
        vanishing: float = 0.01,
        least_spread: float = 1e-3,
        least_inside: float = 0.1,
        stale: int = 10,
        swing: float = 0.5,
        further: float = 10.0,
        worse: float = 100.0,
    ) -> None:
        super().__init__(every)
        key = "callbacks.health"
        self.probe_every = check_int(f"{key}.probe_every", probe_every)
        self.count = check_int(f"{key}.count", count, minimum=2)
        self.grace_images = check_int(f"{key}.grace_images", grace_images, minimum=0)
        self.least_diversity = check_fraction(f"{key}.least_diversity", least_diversity)
        self.separable = check_fraction(f"{key}.separable", separable)
        self.vanishing = check_positive(f"{key}.vanishing", vanishing)
        self.least_spread = check_positive(f"{key}.least_spread", least_spread)
        self.least_inside = check_fraction(f"{key}.least_inside", least_inside)
        self.further = check_positive(f"{key}.further", further)
        self.of_metrics = MetricSymptoms(
            key, least_entropy=least_entropy, least_modes=least_modes, stale=stale, swing=swing, worse=worse
        )
        self.course = SymptomTracker(check_int(f"{key}.patience", patience))
        self.probed_at = 0
        self.bad_looks = 0  # in a row, the last ones
        self.absent: list[str] = []  # symptoms of networks at their start that these did not show at some time
        self.start_distance: float | None = None

    @property
    def records(self) -> list[Record]:
        return self.course.records

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        gan, data = as_gan(pl_module), real_data(trainer)
        self.data = data
        callbacks = getattr(trainer, "callbacks", [])
        self.evaluation = next((part for part in callbacks if isinstance(part, Evaluation)), None)
        self.of_metrics.start(data, self.evaluation)
        if trainer.is_global_zero:
            batch = data.batch_size // trainer.world_size // gan.micro_batches
            count = batch_for(gan.discriminator, min(self.count, batch, data.reference_size))
            self.real = spread_samples(data, gan.device, count) if count else None
            if self.real is not None and self.start_distance is None:
                self.start_distance = distance_at_start(gan, self.real)
        super().on_train_start(trainer, gan)

    def next_iteration(self, iterations: int) -> float:
        """See `Periodic`: at the nearer of the two rhythms."""
        return min(super().next_iteration(iterations), (iterations // self.probe_every + 1) * self.probe_every)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        gan = as_gan(pl_module)
        if gan.iterations != self._acted_at and 0 in (gan.iterations % self.every, gan.iterations % self.probe_every):
            self._acted_at = gan.iterations
            self.run(trainer, gan)
        if self.evaluation is not None and gan.iterations % self.evaluation.every == 0:
            self.look_at_metrics(trainer, gan)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        self.look_at_metrics(trainer, as_gan(pl_module))

    def run(self, trainer: Trainer, gan: GAN) -> None:
        weights = largest_weights(gan)
        self.stop_if_diverged(trainer, gan, weights)
        if not trainer.is_global_zero:
            return
        self.note(trainer, gan.iterations, {"weights_out_of_scale": symptoms.weights_out_of_scale(weights)})
        if self.real is not None and gan.iterations // self.probe_every > self.probed_at // self.probe_every:
            self.probed_at = gan.iterations
            self.note(trainer, gan.iterations, self.after_the_start(gan, self.examined(gan, self.real)))

    def stop_if_diverged(self, trainer: Trainer, gan: GAN, weights: Mapping[str, float]) -> None:
        """End the run if a weight is not finite, on all ranks at once.

        So it is with an objective's state and a loss; under a gradient scaler only if they stay so (`LOOKS_OF_SCALED`).

        Raises:
            DivergedError: then.
        """
        passing = bad_objective(gan) or bad_loss(gan)
        self.bad_looks = self.bad_looks + 1 if passing else 0
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        lasting = passing if self.bad_looks >= (LOOKS_OF_SCALED if scaled else 1) else None
        found = bad_network(gan, weights) or lasting
        if trainer.strategy.reduce_boolean_decision(found is None):
            return
        saw = f"{found or 'a number of another rank'} is not finite"
        if trainer.is_global_zero:
            alert(trainer, self.course.begin("diverged", gan.iterations, saw))
        raise DivergedError(
            f"diverged: at iteration {gan.iterations} {saw}; {left(trainer)}; try: {ADVICE['diverged']}"
        )

    def after_the_start(self, gan: GAN, seen: dict[str, str | None]) -> dict[str, str | None]:
        """Return what of `seen` counts: not what networks show until they have learned something."""
        well = [symptom for symptom in AT_START if symptom in seen and seen[symptom] is None]
        self.absent = sorted({*self.absent, *well})
        waiting = () if gan.images >= self.grace_images else set(AT_START) - set(self.absent)
        return {symptom: saw for symptom, saw in seen.items() if symptom not in waiting}

    def examined(self, gan: GAN, real: Batch) -> dict[str, str | None]:
        """Return what a probe beside the data `real` shows of each symptom that it can show."""
        found = probe(gan, real, self.data.value_range)
        seen: dict[str, str | None] = {}
        if found.diversity is not None:
            seen["mode_collapse"] = symptoms.low_diversity(found.diversity, self.least_diversity)
        if found.fake_inside is not None and found.real_inside is not None:
            seen["saturation"] = symptoms.saturated(found.fake_inside, found.real_inside, self.least_inside)
        seen["discriminator_wins"] = symptoms.vanishing_generator_gradient(found.scores, self.separable, self.vanishing)
        far = symptoms.samples_out_of_scale(found.distance, self.start_distance, found.scores.level, self.further)
        seen["samples_out_of_scale"] = far
        critic = has_critic(gan.objectives.values())
        seen["discriminator_dead"] = symptoms.constant_discriminator(found.scores, self.least_spread, critic)
        return seen

    def look_at_metrics(self, trainer: Trainer, gan: GAN) -> None:
        """Look at the newest evaluation, once."""
        if trainer.is_global_zero:
            self.note(trainer, gan.iterations, self.of_metrics.observe(gan))

    def note(self, trainer: Trainer, iteration: int, seen: dict[str, str | None]) -> None:
        """Report what has begun, and what is gone."""
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
        """Return what a resumed run must know."""
        kept = {name: getattr(self, name) for name in KEPT}
        return {"records": self.course.records, "streaks": self.course.streaks, **kept, **self.of_metrics.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what a checkpoint knows."""
        check_state("callbacks.health", state_dict, STATE)
        records, streaks = state_dict["records"], state_dict["streaks"]
        if not all(is_record(record) for record in records) or not all(is_streak(each) for each in streaks.values()):
            raise ValueError("what the checkpoint knows of callbacks.health is damaged: its records")
        self.course.records, self.course.streaks = records, streaks
        for name in KEPT:
            setattr(self, name, state_dict.get(name, getattr(self, name)))  # earlier versions did not save them all
        self.of_metrics.load_state_dict(state_dict)


def left(trainer: Trainer) -> str:
    """Return what a run that ends now has saved, in a few words."""
    for part in getattr(trainer, "callbacks", []):
        if isinstance(part, Checkpoint) and (path := part.directory / "last.ckpt").exists():
            return f"{os.path.relpath(path)} is from before"
    return "nothing was saved before"


def alert(trainer: Trainer, record: Record) -> None:
    """Send an alert of W&B."""
    for logger in trainer.loggers:
        if isinstance(logger, WandB):
            title = f"{record['symptom'].replace('_', ' ')} since iteration {record['since']}"
            logger.alert(title, f"{record['saw']}; try: {record['try']}")
