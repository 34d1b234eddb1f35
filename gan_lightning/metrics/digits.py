"""Quality of generated digits, read by a small classifier that comes with the package."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gan_lightning.metrics.divergence import entropy
from gan_lightning.metrics.features import digit_sized, quantise, trained_digit_classifier
from gan_lightning.metrics.frechet import FrechetMetric


class DigitQuality(FrechetMetric):
    """Are they digits, all ten of them, and spread as the real ones are?

    `compute` gives

    - `fid`: the Frechet distance from the real digits in the classifier's penultimate layer. The formula is that of the
      Inception FID; the features are not, so the two never stand in one table.
    - `confidence`: mean over the fakes of the classifier's largest probability, in [0.1, 1].
    - `class_entropy`: entropy of the shares of the ten predicted classes, divided by log 10: 1 when every digit is made
      equally often, 0 when only one is. It takes no account of how the shares stand in the data.
    """

    keys = ("fid", "confidence", "class_entropy")

    fake_confidence: Tensor
    fake_classes: Tensor

    def __init__(self) -> None:
        classifier = trained_digit_classifier()
        super().__init__(classifier.dim)
        self.classifier = classifier
        self.add_state("fake_confidence", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("fake_classes", torch.zeros(10, dtype=torch.int64), dist_reduce_fx="sum")

    def accumulate(self, samples: Tensor, real: bool) -> None:
        """Take grey images (batch, 1, height, width) in [-1, 1]; sizes other than 28x28 are resized.

        Raises:
            ValueError: the images are not of one channel.
        """
        images = digit_sized(quantise(samples)).div(127.5).sub(1.0)
        features = self.classifier.features(images)
        self.accumulate_features(features, real)
        if not real:
            probabilities = self.classifier.head(features).softmax(dim=1)
            self.fake_confidence += probabilities.amax(dim=1).double().sum()
            self.fake_classes += torch.bincount(probabilities.argmax(dim=1), minlength=10)

    def compute(self) -> dict[str, float]:
        """The numbers described above.

        Raises:
            ValueError: fewer than two real or two fake images.
        """
        return {
            "fid": self.distance(),
            "confidence": (self.fake_confidence / self.fake_count).item(),
            "class_entropy": entropy(self.fake_classes.double() / self.fake_count) / math.log(10.0),
        }
