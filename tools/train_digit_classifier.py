"""Trains the classifier that reads generated digits, and writes its weights into the package.

    python -m tools.train_digit_classifier

A few minutes on two CPU cores. The weights go to `gan_lightning/extractors/assets/digit_classifier.pt`; a record of how
they were made and how well they do goes beside them, in `digit_classifier.json`. The 1 000 digits of the test split
choose nothing: not the epoch, not a setting.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

import gan_lightning.data
from gan_lightning.data.idx import read_idx
from gan_lightning.extractors.digits import DIGIT_WEIGHTS, DigitClassifier, trained_digit_classifier
from gan_lightning.extractors.small_classifier import augmented, fit

DIGITS = Path(gan_lightning.data.__file__).parent / "assets" / "mnist10k"
SEED = 1
EPOCHS = 40
PEAK_LEARNING_RATE = 2e-3


def digits(split: str) -> tuple[Tensor, Tensor]:
    """Return images (n, 1, 28, 28) in [-1, 1] and labels (n,) of the split "train" or "t10k"."""
    images = read_idx(DIGITS / f"{split}-images-idx3-ubyte.gz")
    labels = read_idx(DIGITS / f"{split}-labels-idx1-ubyte.gz")
    return images[:, None].float().div(127.5).sub(1.0), labels.long()


def train(images: Tensor, labels: Tensor) -> DigitClassifier:
    """Return a classifier after the last of `EPOCHS` epochs."""
    torch.manual_seed(SEED)
    rng = torch.Generator().manual_seed(SEED)
    classifier = DigitClassifier()

    def loss_of(rows: Tensor) -> Tensor:
        return F.cross_entropy(classifier(augmented(images[rows], rng)), labels[rows])

    fit(
        classifier,
        loss_of,
        len(images),
        rng,
        epochs=EPOCHS,
        peak_learning_rate=PEAK_LEARNING_RATE,
        progress="the classifier of digits",
    )
    return classifier


@torch.no_grad()
def quality(classifier: DigitClassifier, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Return accuracy, mean confidence (largest probability) and cross-entropy in nats."""
    logits = classifier(images)
    return {
        "test_accuracy": (logits.argmax(dim=1) == labels).double().mean().item(),
        "test_confidence": logits.softmax(dim=1).amax(dim=1).double().mean().item(),
        "test_cross_entropy": F.cross_entropy(logits, labels).item(),
    }


def main() -> None:
    """Train, save as float16 (half the bytes), and measure what was saved."""
    classifier = train(*digits("train"))
    DIGIT_WEIGHTS.parent.mkdir(exist_ok=True)
    torch.save(classifier.half().state_dict(), DIGIT_WEIGHTS)
    measured = quality(trained_digit_classifier(), *digits("t10k"))
    record = {"seed": SEED, "epochs": EPOCHS, "feature_dim": classifier.dim, **measured}
    DIGIT_WEIGHTS.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
