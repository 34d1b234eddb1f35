"""Trains the digit classifier that judges generated digits, and writes its weights into the package.

    python -m gan_lightning.metrics.train_digit_classifier

A few minutes on two CPU cores. The weights go to `gan_lightning/metrics/assets/digit_classifier.pt`; a record of how
they were made and how well they do goes beside them, in `digit_classifier.json`. The 1 000 digits of the test split
choose nothing: not the epoch, not a setting.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

import gan_lightning.data
from gan_lightning.data.idx import read_idx
from gan_lightning.metrics.features import DIGIT_WEIGHTS, DigitClassifier, trained_digit_classifier

DIGITS = Path(gan_lightning.data.__file__).parent / "assets" / "mnist10k"
SEED = 1
EPOCHS = 40
BATCH_SIZE = 100
PEAK_LEARNING_RATE = 2e-3
WEIGHT_DECAY = 5e-4

# The largest change that augmentation makes to a digit; handwriting varies by more than this.
ROTATION_DEGREES = 12.0
SHIFT_PIXELS = 2.0
SCALE = 0.1


def digits(split: str) -> tuple[Tensor, Tensor]:
    """Images (n, 1, 28, 28) in [-1, 1] and labels (n,) of the split "train" or "t10k"."""
    images = read_idx(DIGITS / f"{split}-images-idx3-ubyte.gz")
    labels = read_idx(DIGITS / f"{split}-labels-idx1-ubyte.gz")
    return images[:, None].float().div(127.5).sub(1.0), labels.long()


def augmented(images: Tensor, rng: torch.Generator) -> Tensor:
    """Every image rotated, scaled and shifted by a little of its own, with black around it."""

    def random(limit: float, *shape: int) -> Tensor:
        return torch.rand(len(images), *shape, generator=rng).mul(2.0).sub(1.0).mul(limit)

    angle, scale = random(math.radians(ROTATION_DEGREES)), 1.0 + random(SCALE)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    linear = torch.stack([cosine, -sine, sine, cosine], dim=1).reshape(-1, 2, 2)
    shift = random(2.0 * SHIFT_PIXELS / images.shape[-1], 2, 1)  # affine_grid measures the image from -1 to 1
    grid = F.affine_grid(torch.cat([linear, shift], dim=2), list(images.shape), align_corners=False)
    return F.grid_sample(images + 1.0, grid, align_corners=False) - 1.0  # it pads with 0, and black is -1


def train(images: Tensor, labels: Tensor) -> DigitClassifier:
    """A classifier after the last of `EPOCHS` epochs."""
    torch.manual_seed(SEED)
    rng = torch.Generator().manual_seed(SEED)
    classifier = DigitClassifier()
    optimizer = torch.optim.AdamW(classifier.parameters(), weight_decay=WEIGHT_DECAY)
    steps = EPOCHS * math.ceil(len(images) / BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LEARNING_RATE, total_steps=steps)
    for epoch in range(EPOCHS):
        for rows in torch.randperm(len(images), generator=rng).split(BATCH_SIZE):
            loss = F.cross_entropy(classifier(augmented(images[rows], rng)), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}/{EPOCHS}: loss of the last batch {loss.item():.4f}", flush=True)
    return classifier


@torch.no_grad()
def quality(classifier: DigitClassifier, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Accuracy, mean confidence (largest probability) and cross-entropy in nats."""
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
    DIGIT_WEIGHTS.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
