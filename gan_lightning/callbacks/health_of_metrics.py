"""Symptoms that an evaluation's metrics show, for `Health`."""

from __future__ import annotations

import math
from typing import Any

from gan_lightning.callbacks.evaluation import Evaluation
from gan_lightning.data.base import RealData
from gan_lightning.diagnostics import symptoms
from gan_lightning.diagnostics.symptoms import FEWEST_TURNS
from gan_lightning.gan import GAN
from gan_lightning.utils.checks import NUMBER_OR_NONE, check_fraction, check_int, check_positive, check_state

KEPT = ("evaluated_at", "most_modes", "first_monitored", "monitored")
"""What a checkpoint keeps."""
STATE: dict[str, type | tuple[type, ...]] = {
    "evaluated_at": int,
    "most_modes": (int, float),
    "first_monitored": NUMBER_OR_NONE,
    "monitored": list,
}
"""Of which kinds that is."""


class MetricSymptoms:
    """Missing classes and modes, and a monitored metric that swings or is out of scale; see `Health`.

    Args:
        key: of the callback, which the message of an error names.
        least_entropy: see `Health`, as for the others.
        least_modes: likewise.
        stale: likewise.
        swing: likewise.
        worse: likewise.
    """

    def __init__(
        self, key: str, *, least_entropy: float, least_modes: float, stale: int, swing: float, worse: float
    ) -> None:
        self.least_entropy = check_fraction(f"{key}.least_entropy", least_entropy)
        self.least_modes = check_fraction(f"{key}.least_modes", least_modes)
        self.stale = check_int(f"{key}.stale", stale, minimum=FEWEST_TURNS + 2)
        self.swing = check_positive(f"{key}.swing", swing)
        self.worse = check_positive(f"{key}.worse", worse)
        self.evaluated_at = 0
        self.most_modes = 0.0
        self.first_monitored: float | None = None
        self.monitored: list[float] = []  # since the best, the newest last

    def start(self, data: RealData, evaluation: Evaluation | None) -> None:
        """Take the parts of a run that begins or is resumed."""
        self.data, self.evaluation = data, evaluation
        if evaluation is None or evaluation.best is None:
            self.first_monitored, self.monitored = None, []  # of what the run before measured in another way

    def observe(self, gan: GAN) -> dict[str, str | None]:
        """Return what the newest evaluation shows of each symptom that it can show, once; None where all is well."""
        seen: dict[str, str | None] = {}
        if not gan.metrics or self.evaluated_at == gan.iterations:
            return seen
        self.evaluated_at = gan.iterations
        classes = symptoms.evenly_over_classes(self.data, classes_read(self.evaluation))
        if "val/class_entropy" in gan.metrics and classes > 0:
            entropy = gan.metrics["val/class_entropy"]
            seen["missing_classes"] = symptoms.few_classes(entropy, classes, self.least_entropy)
        if "val/modes" in gan.metrics:
            self.most_modes = max(self.most_modes, gan.metrics["val/modes"])
            expected = max(self.most_modes, symptoms.number_of_modes(self.data))
            seen["missing_modes"] = symptoms.few_modes(gan.metrics["val/modes"], expected, self.least_modes)
        monitor = None if self.evaluation is None else self.evaluation.monitor
        if self.evaluation is not None and monitor in gan.metrics:
            value = gan.metrics[monitor]
            seen["oscillation"] = self.swung(self.evaluation, monitor, value, gan.iterations)
            if self.evaluation.mode == "min":
                worse = symptoms.metric_out_of_scale(monitor, value, self.first_monitored, self.worse)
                seen["metric_out_of_scale"] = worse
        return seen

    def swung(self, evaluation: Evaluation, monitor: str, value: float, iteration: int) -> str | None:
        """Return what the values of the monitored metric since it was best show; `value` is the newest."""
        if self.first_monitored is None and math.isfinite(value):
            self.first_monitored = value
        self.monitored = [] if evaluation.best_iteration == iteration else [*self.monitored, value][-self.stale :]
        if len(self.monitored) < self.stale or self.first_monitored is None or evaluation.best is None:
            return None
        return symptoms.oscillating(monitor, self.monitored, abs(self.first_monitored - evaluation.best), self.swing)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        return {name: getattr(self, name) for name in KEPT}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what a checkpoint knows."""
        check_state("callbacks.health", state_dict, STATE)
        for name in KEPT:
            setattr(self, name, state_dict.get(name, getattr(self, name)))


def classes_read(evaluation: Evaluation | None) -> int | None:
    """Return the number of classes of the metric that gives ``val/class_entropy``; None where it is not known."""
    metrics = () if evaluation is None else evaluation.metrics.values()
    return next((getattr(metric, "num_classes", None) for metric in metrics if "class_entropy" in metric.keys), None)
