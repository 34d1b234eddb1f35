"""Agreement of fakes with their labels, as a classifier of digits reads them."""

from __future__ import annotations

from abc import ABC

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from gan_lightning.extractors.base import Extractor, Features
from gan_lightning.extractors.digits import Digits
from gan_lightning.metrics.base import FeatureMetric

DIGITS = 10


class LabelCounts(FeatureMetric, ABC):
    """Counts the fakes by their label and by the digit that the classifier that comes with the package reads in them.

    Args:
        num_labels: how many labels there may be.
        extractor: the classifier, of ten digits; None: the one that comes with the package.
    """

    needs_labels = True

    fake_readings: Tensor
    """Fakes by label (row) and digit (column)."""

    def __init__(self, num_labels: int, extractor: Extractor | None = None) -> None:
        super().__init__(extractor or Digits())
        self.add_state("fake_readings", torch.zeros(num_labels, DIGITS, dtype=torch.int64), dist_reduce_fx="sum")

    def accumulate_labelled_features(self, features: Features, labels: Tensor, real: bool) -> None:
        """Take the logits of fakes, (batch, 10), and their labels (batch,); real digits say nothing here."""
        if real:
            return
        name = " and ".join(self.keys)
        if labels.ndim != 1:
            raise ValueError(f"{name} takes one label for each fake, (batch,), not {tuple(labels.shape)}")
        num_labels = len(self.fake_readings)
        if (labels >= num_labels).any():
            raise ValueError(f"{name} takes labels below {num_labels}, not {int(labels.max())}: choose metrics=digits")
        assert features.logits is not None  # the extractor has classes
        digits = features.logits.argmax(dim=1)
        cells = torch.bincount(labels * DIGITS + digits, minlength=num_labels * DIGITS)
        self.fake_readings += cells.reshape(num_labels, DIGITS)

    def share(self, right: Tensor) -> float:
        """Return `right` fakes, a scalar, as a share of all; a ValueError if there are none."""
        total = self.fake_readings.sum()
        if not total:
            raise ValueError(f"{' and '.join(self.keys)} needs at least one fake with a label: raise metrics.num_fakes")
        return (right.double() / total).item()


class ConditionalAccuracy(LabelCounts):
    """The accuracy of class-conditional digits: are they the digits of their labels?

    `compute` gives `label_accuracy`, the share of fakes that are read as the digit of their label, in [0, 1]; .1 is
    chance.
    """

    keys = ("label_accuracy",)

    def __init__(self) -> None:
        super().__init__(DIGITS)

    def compute(self) -> dict[str, float]:
        return {"label_accuracy": self.share(self.fake_readings.trace())}


class ClusterAccuracy(LabelCounts):
    """The accuracy of codes that were learned without labels: do they stand for digits?

    Each is matched to a digit, as in Chen et al. 2016, "InfoGAN", section 7.2. `compute` gives `code_accuracy`, the
    share of fakes that are read as the digit of their code, under the one-to-one matching that makes it the largest, in
    [0, 1]. Of ten codes that mean nothing a little more than .1 are right. Of more codes than digits, the fakes of
    those without a digit are wrong.

    Args:
        num_labels: how many codes there may be; fewer cost nothing.
    """

    keys = ("code_accuracy",)

    def __init__(self, num_labels: int = 100) -> None:
        super().__init__(num_labels)

    def compute(self) -> dict[str, float]:
        codes, digits = linear_sum_assignment(self.fake_readings.cpu().numpy(), maximize=True)
        return {"code_accuracy": self.share(self.fake_readings[codes, digits].sum())}
