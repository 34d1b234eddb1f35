"""The small classifier of digits that comes with the package, as an extractor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as vision

from gan_lightning.data.pixels import quantise
from gan_lightning.extractors.base import Extractor, Features
from gan_lightning.extractors.small_classifier import ImageClassifier
from gan_lightning.utils.checks import fingerprint


class Digits(Extractor):
    """The 64 penultimate values and ten logits of the package's classifier of digits, of grey images; no download."""

    preprocessing = "8 bits, 28x28 (antialiased bilinear)"

    def __init__(self) -> None:
        classifier = trained_digit_classifier()
        super().__init__(classifier.dim, 10, f"digits-{fingerprint(DIGIT_WEIGHTS)}")
        self.classifier = classifier

    def extract(self, images: Tensor) -> Features:
        """Return the features of grey images (batch, 1, height, width) in [-1, 1]; others than 28x28 are resized."""
        features = self.classifier.features(digit_sized(quantise(images)).div(127.5).sub(1.0))
        return Features(features, self.classifier.head(features))


class StackedDigits(Extractor):
    """The features and digits of three channels, each read by the package's classifier of digits as a grey image.

    The 192 features are those of the channels one after another. The logits are log p(a) + log p(b) + log p(c) of the
    1 000 classes 100 a + 10 b + c.
    """

    preprocessing = f"each channel: {Digits.preprocessing}"

    def __init__(self) -> None:
        digits = Digits()
        super().__init__(3 * digits.dim, 1000, f"stacked-{digits.fingerprint}")
        self.digits = digits

    def extract(self, images: Tensor) -> Features:
        """Return the features of images (batch, 3, height, width) in [-1, 1]; others than 28x28 are resized."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(
                "extractor=stacked_digits reads images of three channels (batch, 3, height, width), "
                f"not {tuple(images.shape)}: choose data=stacked_mnist, or extractor=digits for grey digits"
            )
        features, logits = self.digits.extract(images.flatten(0, 1).unsqueeze(1))
        assert logits is not None  # the classifier has classes
        red, green, blue = logits.log_softmax(dim=1).unflatten(0, (-1, 3)).unbind(1)
        classes = red[:, :, None, None] + green[:, None, :, None] + blue[:, None, None, :]
        return Features(features.unflatten(0, (-1, 3)).flatten(1), classes.flatten(1))


DIGIT_WEIGHTS = Path(__file__).parent / "assets" / "digit_classifier.pt"


DIGIT_SIZE = 28


class DigitClassifier(ImageClassifier):
    """Of ten classes of grey images of 28x28.

    Args:
        dim: length of the feature vector before the last layer.
    """

    def __init__(self, dim: int = 64) -> None:
        super().__init__(channels=1, num_classes=10, size=DIGIT_SIZE, dim=dim)


def trained_digit_classifier() -> DigitClassifier:
    """Return the classifier with the weights that come with the package, frozen (`train_digit_classifier.py`)."""
    return with_weights(DIGIT_WEIGHTS, DigitClassifier)


def with_weights(path: Path, make: Callable[[int], DigitClassifier]) -> DigitClassifier:
    """Return the classifier that `make` builds for a number of features, with the weights in `path`, frozen."""
    weights = torch.load(path, map_location="cpu", weights_only=True)
    with torch.device("meta"):  # without weights of its own, which would be drawn from torch's random numbers
        classifier = make(weights["head.weight"].shape[1])
    classifier.load_state_dict({name: weight.float() for name, weight in weights.items()}, assign=True)
    # Channels last: on a CPU the pooling is several times faster.
    nn.utils.convert_conv2d_weight_memory_format(classifier, torch.channels_last)
    return classifier.requires_grad_(False)


def digit_sized(images: Tensor) -> Tensor:
    """Return grey images brought to 28x28, as the classifier reads them.

    Args:
        images: (batch, 1, height, width) of any size and range.

    Raises:
        ValueError: the images are not of one channel.
    """
    if images.ndim != 4 or images.shape[1] != 1:
        raise ValueError(
            "the digit classifier reads grey images (batch, 1, height, width), "
            f"not {tuple(images.shape)}: choose metrics=inception or metrics=sliced_wasserstein for this data"
        )
    if images.shape[-2:] == (DIGIT_SIZE, DIGIT_SIZE):
        return images
    return vision.resize(images, [DIGIT_SIZE, DIGIT_SIZE], antialias=True)
