"""The small classifier of digits that comes with the package, as an extractor."""

from __future__ import annotations

from torch import Tensor

from gan_lightning.extractors.base import Extractor, Features
from gan_lightning.extractors.digit_classifier import DIGIT_WEIGHTS, digit_sized, quantise, trained_digit_classifier
from gan_lightning.utils.checks import fingerprint


class Digits(Extractor):
    """Its 64 penultimate values and ten logits, of grey images; no download."""

    preprocessing = "8 bits, 28x28 (antialiased bilinear)"

    def __init__(self) -> None:
        classifier = trained_digit_classifier()
        super().__init__(classifier.dim, 10, f"digits-{fingerprint(DIGIT_WEIGHTS)}")
        self.classifier = classifier

    def extract(self, images: Tensor) -> Features:
        """Of grey images (batch, 1, height, width) in [-1, 1]; sizes other than 28x28 are resized.

        Raises:
            ValueError: the images are not of one channel.
        """
        features = self.classifier.features(digit_sized(quantise(images)).div(127.5).sub(1.0))
        return Features(features, self.classifier.head(features))
