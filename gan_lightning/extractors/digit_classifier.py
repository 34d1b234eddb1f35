"""What images become before they are compared: quantised pixels, and the features of a small classifier of digits."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as vision

from gan_lightning.extractors.small_classifier import ImageClassifier

DIGIT_WEIGHTS = Path(__file__).parent / "assets" / "digit_classifier.pt"
DIGIT_SIZE = 28


def quantise(images: Tensor) -> Tensor:
    """Images as a file with 8 bits a channel would hold them: the nearest of 256 levels, outliers clamped.

    Fakes are judged by what a viewer of the file sees, and real images have these levels already. The result stays in
    float32, so that what a diverged generator makes of a pixel, be it NaN or infinite, is NaN.

    Args:
        images: (batch, channels, height, width) in [-1, 1].

    Returns:
        The same shape, whole numbers in [0, 255].
    """
    levels = images.add(1.0).mul(127.5).round().clamp(0.0, 255.0)
    return levels.masked_fill(~images.isfinite(), math.nan)


class DigitClassifier(ImageClassifier):
    """Of ten classes of grey images of 28x28.

    Args:
        dim: length of the feature vector before the last layer.
    """

    def __init__(self, dim: int = 64) -> None:
        super().__init__(channels=1, num_classes=10, size=DIGIT_SIZE, dim=dim)


def trained_digit_classifier() -> DigitClassifier:
    """The classifier with the weights that come with the package, frozen (`train_digit_classifier.py`)."""
    return with_weights(DIGIT_WEIGHTS, DigitClassifier)


def with_weights(path: Path, make: Callable[[int], DigitClassifier]) -> DigitClassifier:
    """The classifier that `make` builds for a number of features, with the weights of the file `path`, frozen."""
    weights = torch.load(path, map_location="cpu", weights_only=True)
    with torch.device("meta"):  # without weights of its own, which would be drawn from torch's random numbers
        classifier = make(weights["head.weight"].shape[1])
    classifier.load_state_dict({name: weight.float() for name, weight in weights.items()}, assign=True)
    # Channels last: on a CPU the pooling is several times faster.
    nn.utils.convert_conv2d_weight_memory_format(classifier, torch.channels_last)
    return classifier.requires_grad_(False)


def digit_sized(images: Tensor) -> Tensor:
    """Grey images brought to 28x28, as the classifier reads them.

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
