"""Symptoms of failing training, and how long they have lasted."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from gan_lightning.data.base import RealData
from gan_lightning.data.distributions import GaussianMixture
from gan_lightning.data.toys import ToyData
from gan_lightning.diagnostics.probe import Scores

AT_ONCE = ("weights_out_of_scale", "samples_out_of_scale", "metric_out_of_scale")
"""Symptoms that are no passing moment, and count when they are first seen."""

ADVICE = {
    "mode_collapse": "lower optimizer.discriminator.lr, or choose variant=pacgan, loss=wgan_gp or regularizer=[r1]",
    **dict.fromkeys(
        ("missing_classes", "missing_modes"),
        "choose variant=pacgan, loss=wgan_gp or regularizer=[r1], or a larger data.batch_size",
    ),
    "discriminator_wins": "lower optimizer.discriminator.lr, or choose regularizer=[r1], "
    "regularizer=[label_smoothing], loss=wgan_gp or, with few data, wrapper=[diffaugment]",
    "discriminator_dead": "lower optimizer.discriminator.lr, or choose another seed or model",
    "saturation": "lower optimizer.generator.lr, or set clip_gradient_norm",
    "oscillation": "lower optimizer.lr, raise ema.half_life_images, or choose schedule=linear or regularizer=[r1]",
    **dict.fromkeys(("diverged", *AT_ONCE), "lower optimizer.lr, set clip_gradient_norm, or choose regularizer=[r1]"),
}
"""What to try, by symptom."""

MOST_WEIGHT = 1e3
"""Absolute value of a weight beyond any scale: the largest of 145 networks that learned was 7.1."""

MOST_SCORE = 1e6
"""Absolute value of a score beyond any scale: float32 tells no two scores apart there that differ by less than .06."""

LEAST_OF_LEVEL = 1e-6
"""The spread of a critic's scores below which, as a share of their size, float32 leaves nothing but rounding."""

AT_START = ("mode_collapse", "saturation")
"""Symptoms that untrained networks may show."""

FEWEST_TURNS = 3
"""How often a metric must change direction to swing."""

Record = dict[str, Any]
"""``symptom``, ``since`` and ``until`` which iteration (None: still there), what was ``saw``, what to ``try``."""


# Each returns what was seen, or None where all is well.


def low_diversity(diversity: float, least: float) -> str | None:
    """Detect fakes that are nearly alike."""
    if not diversity < least:
        return None
    return f"two fakes lie {diversity:.2g} times as far apart as two real samples (below {least:g})"


def few_classes(entropy: float, classes: float, least: float) -> str | None:
    """Detect missing classes by the `entropy` of their shares, against that of equal `classes` on the same scale."""
    if not entropy < least * classes:
        return None
    return f"val/class_entropy is {entropy:.2g}, where all classes alike would give {classes:.2g}"


def few_modes(modes: float, expected: float, least: float) -> str | None:
    """Detect missing modes, of those that there are or that were found before."""
    return f"val/modes is {modes:g} of {expected:g}" if modes < least * expected else None


def vanishing_generator_gradient(scores: Scores, separable: float, vanishing: float) -> str | None:
    """Detect a discriminator that separates all fakes and leaves the generator no gradient."""
    if scores.relative_slope is None or not (scores.separation >= separable and scores.relative_slope < vanishing):
        return None
    return (
        f"the discriminator scores data above fakes in {100 * scores.separation:.0f} % of pairs, and what the "
        f"generator's gradient at its fakes promises is {scores.relative_slope:.1g} of that difference "
        f"(below {vanishing:g})"
    )


def constant_discriminator(scores: Scores, least_spread: float, critic: bool) -> str | None:
    """Detect a discriminator that scores all samples alike."""
    if not scores.spread <= (LEAST_OF_LEVEL * scores.level if critic else least_spread):
        return None
    return (
        f"the discriminator's scores of data and fakes are all alike: their standard deviation is {scores.spread:.1g}"
    )


def saturated(fake_inside: float, real_inside: float, least: float) -> str | None:
    """Detect fakes whose values are nearly all at the ends of their range, where those of the data are not."""
    if real_inside <= 0 or not fake_inside < least * real_inside:
        return None
    return (
        f"{100 * (1 - fake_inside):.1f} % of the generator's values are at the ends of data.value_range, of the data's "
        f"{100 * (1 - real_inside):.1f} %"
    )


def oscillating(name: str, values: Sequence[float], won: float, swing: float) -> str | None:
    """Detect a metric that swings by more than noise.

    Its noise is not known. Near 0 a metric is all noise, a large swing for its size and a small one for what training
    has gained; near 1000 it is the other way round. So it must be large by both.

    Args:
        name: of the metric.
        values: its last ones, none of which was the best.
        won: difference between its first value and its best; 0 detects nothing.
        swing: least range of `values`, as a share of `won` and of their median.
    """
    finite = [value for value in values if math.isfinite(value)]
    steps = [after - before for before, after in zip(finite, finite[1:], strict=False) if after != before]
    turns = sum(a * b < 0 for a, b in zip(steps, steps[1:], strict=False))
    if turns < FEWEST_TURNS or not won > 0:
        return None
    if max(finite) - min(finite) <= swing * max(won, statistics.median(map(abs, finite))):
        return None
    return (
        f"{name} went between {min(finite):.3g} and {max(finite):.3g} over the last {len(values)} evaluations, none of "
        f"which was the best; from the first evaluation to the best it has won {won:.3g}"
    )


def weights_out_of_scale(largest: Mapping[str, float]) -> str | None:
    """Detect a weight that no game on data of common scale needs; `largest` holds each network's, by name."""
    network = max(largest, key=lambda name: largest[name])
    if not largest[network] > MOST_WEIGHT:
        return None
    return f"a weight of the {network.replace('_', ' ')} is {largest[network]:.2g} in size (above {MOST_WEIGHT:g})"


def samples_out_of_scale(distance: float | None, at_start: float | None, level: float, further: float) -> str | None:
    """Detect fakes that lie far further from the data than at the start, and scores beyond any scale.

    Args:
        distance: from fakes to data, in distances between two real samples; None where that is not known.
        at_start: the same of the generator before its first update; None where that is not known.
        level: mean absolute score.
        further: how many times as far as at the start, or as two real samples if they are further apart, is too far.
    """
    if distance is not None and at_start is not None and not distance <= further * max(1.0, at_start):
        return (
            f"fakes lie {distance:.2g} times as far from the data as two real samples from each other, "
            f"at the start {at_start:.2g} times"
        )
    if level > MOST_SCORE:
        return f"the discriminator's scores are {level:.2g} in size (above {MOST_SCORE:g})"
    return None


def metric_out_of_scale(name: str, value: float, first: float | None, worse: float) -> str | None:
    """Detect a metric, of which less is better, that is `worse` times what the first evaluation gave."""
    if first is None or not first > 0 or not value > worse * first:
        return None
    return f"{name} is {value:.3g}, {value / first:.2g} times what it was at the first evaluation"


# Expected values for fakes that are distributed as the data.


def evenly_over_classes(data: RealData, read: int | None) -> float:
    """Return the entropy of equal shares of the data's classes over that of the `read` classes of a metric.

    It is 0 where unknown, as for a metric that reads other classes than the data's.
    """
    kept = getattr(data, "classes", None)
    count = data.num_classes if kept is None else len(kept)
    if data.num_classes is None or data.num_classes != read or not count or count < 2:
        return 0.0
    return math.log(count) / math.log(read)


def number_of_modes(data: RealData) -> int:
    """Return the number of modes of the data; 0 where it is not known."""
    if isinstance(data, ToyData) and isinstance(data.distribution, GaussianMixture):
        return len(data.distribution.centers)
    return 0


def is_record(value: object) -> bool:
    """Return whether a value out of a checkpoint is a record of a symptom."""
    return isinstance(value, dict) and value.keys() == {"symptom", "since", "until", "saw", "try"}


def is_streak(value: object) -> bool:
    """Return whether a value out of a checkpoint says how often a change was seen in a row, and since when."""
    return isinstance(value, (list, tuple)) and [type(number) for number in value] == [int, int]


class SymptomTracker:
    """The symptoms present and past. One begins, or ends, when it is seen, or not, `patience` times in a row.

    Those of `AT_ONCE` do so the first time.

    Args:
        patience: observations.

    Attributes:
        records: of each symptom from its begin to its end, in the order in which they began.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.records: list[Record] = []
        self.streaks: dict[str, list[int]] = {}  # how often a change was seen in a row, and since when

    def observe(self, iteration: int, seen: Mapping[str, str | None]) -> list[Record]:
        """Take what was seen of each symptom, None for nothing; return the records that begin or end by that."""
        changed = []
        for symptom, saw in seen.items():
            record = self.present(symptom)
            if (saw is not None) == (record is not None):
                self.streaks.pop(symptom, None)
                continue
            count, first = self.streaks.get(symptom, (0, iteration))
            self.streaks[symptom] = [count + 1, first]
            if count + 1 >= self.patience or symptom in AT_ONCE:
                del self.streaks[symptom]
                changed.append(self.end(record, first) if saw is None and record else self.begin(symptom, first, saw))
        return changed

    def present(self, symptom: str) -> Record | None:
        """Return the record of `symptom` if it is present."""
        return next((one for one in self.records if one["symptom"] == symptom and one["until"] is None), None)

    def begin(self, symptom: str, since: int, saw: str | None) -> Record:
        """Begin a symptom and return its record."""
        self.records.append({"symptom": symptom, "since": since, "until": None, "saw": saw, "try": ADVICE[symptom]})
        return self.records[-1]

    def end(self, record: Record, until: int) -> Record:
        """End a symptom and return its record."""
        record["until"] = until
        return record
