"""Trains the classifier that reads outlines of digits, and writes its weights into the package.

    python -m tools.train_outline_classifier

A few minutes on a CPU. It learns from the digits of domain B of `data=digit_outlines` alone: their outlines are the ten
classes, and the digits as they were written are the eleventh, "no outline". The weights go to
`gan_lightning/metrics/assets/outline_classifier.pt`, a record of how they were made and how well they do beside them.
The digits of domain A and of the test split choose nothing.
"""

from __future__ import annotations

import json

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lightning.data.digit_outlines import outlines
from gan_lightning.extractors.digits import DigitClassifier
from gan_lightning.extractors.small_classifier import augmented, fit
from gan_lightning.metrics.translation import (
    NO_OUTLINE,
    OUTLINE_WEIGHTS,
    outline_classifier,
    trained_outline_classifier,
)
from tools.train_digit_classifier import digits

SEED = 1
EPOCHS = 60
FEATURE_DIM = 20
PEAK_LEARNING_RATE = 3e-3
STROKES = 0.5
"""Digits as they were written, as a share of the outlines they stand beside."""


def outlined(strokes: Tensor) -> Tensor:
    """Return the outlines of images in [-1, 1], in the same range."""
    return outlines(strokes) - 1.0


def train(images: Tensor, labels: Tensor) -> DigitClassifier:
    """Return a classifier after the last of `EPOCHS` epochs."""
    torch.manual_seed(SEED)
    rng = torch.Generator().manual_seed(SEED)
    classifier = outline_classifier(FEATURE_DIM)
    nn.utils.convert_conv2d_weight_memory_format(classifier, torch.channels_last)

    def loss_of(rows: Tensor) -> Tensor:
        strokes = augmented(images[rows], rng)
        others = augmented(images[rows[: int(STROKES * len(rows))]], rng)
        targets = torch.cat([labels[rows], torch.full((len(others),), NO_OUTLINE)])
        return F.cross_entropy(classifier(torch.cat([outlined(strokes), others])), targets)

    fit(
        classifier,
        loss_of,
        len(images),
        rng,
        epochs=EPOCHS,
        peak_learning_rate=PEAK_LEARNING_RATE,
        progress="the classifier of outlines",
    )
    return classifier


@torch.no_grad()
def quality(classifier: DigitClassifier, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the share of outlines read as their digit, and the share of strokes read as no outline."""
    of_outlines, of_strokes = (classifier(kind).argmax(dim=1) for kind in (outlined(images), images))
    return {
        "accuracy": (of_outlines == labels).double().mean().item(),
        "strokes_refused": (of_strokes == NO_OUTLINE).double().mean().item(),
    }


def main() -> None:
    """Train, save as float16 (half the bytes), and measure what was saved."""
    images, labels = digits("train")
    torch.save(train(images[1::2], labels[1::2]).half().state_dict(), OUTLINE_WEIGHTS)
    classifier = trained_outline_classifier()
    record = {
        "seed": SEED,
        "epochs": EPOCHS,
        "feature_dim": FEATURE_DIM,
        "domain_a": quality(classifier, images[0::2], labels[0::2]),
        "test": quality(classifier, *digits("t10k")),
    }
    OUTLINE_WEIGHTS.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
