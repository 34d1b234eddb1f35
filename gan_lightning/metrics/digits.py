"""Quality of generated digits, read by a small classifier that comes with the package."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gan_lightning.extractors.base import Extractor, Features
from gan_lightning.extractors.digits import Digits
from gan_lightning.metrics.divergence import entropy
from gan_lightning.metrics.fid import FrechetDistance


class DigitQuality(FrechetDistance):
    """The quality of digits: are they digits, all ten of them, and spread as the real ones are?

    `compute` gives

    - `fid`: the Frechet distance from the real digits in the classifier's penultimate layer. The formula is that of the
      Inception FID; the features are not, so the two never stand in one table.
    - `confidence`: mean over the fakes of the classifier's largest probability, in [0.1, 1].
    - `class_entropy`: entropy of the shares of the ten predicted classes, divided by log 10: 1 when every digit is made
      equally often, 0 when only one is. It takes no account of how the shares stand in the data.

    Args:
        extractor: one that knows classes; None: the classifier of digits.
    """

    keys = ("fid", "confidence", "class_entropy")

    fake_confidence: Tensor
    fake_classes: Tensor

    def __init__(self, extractor: Extractor | None = None) -> None:
        extractor = extractor or Digits()
        if extractor.num_classes is None:
            raise ValueError(
                f"confidence and class_entropy need an extractor with classes, and {extractor.fingerprint} has none"
            )
        super().__init__(extractor)
        self.num_classes = extractor.num_classes
        self.add_state("fake_confidence", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("fake_classes", torch.zeros(self.num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def accumulate_features(self, features: Features, real: bool) -> None:
        """Take the features of a batch, and of fakes the classes that they are read as."""
        super().accumulate_features(features, real)
        if not real:
            assert features.logits is not None  # the extractor has classes
            probabilities = features.logits.softmax(dim=1)
            self.fake_confidence += probabilities.amax(dim=1).double().sum()
            self.fake_classes += torch.bincount(probabilities.argmax(dim=1), minlength=self.num_classes)

    def compute(self) -> dict[str, float]:
        return super().compute() | {
            "confidence": (self.fake_confidence / self.fake_count).item(),
            "class_entropy": entropy(self.fake_classes.double() / self.fake_count) / math.log(self.num_classes),
        }
