"""The share of digits that are still the same digits after translation into another domain."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from gan_lightning.data.pixels import quantise
from gan_lightning.extractors.digits import (
    DIGIT_SIZE,
    DIGIT_WEIGHTS,
    DigitClassifier,
    trained_digit_classifier,
    with_weights,
)
from gan_lightning.metrics.base import SampleMetric
from gan_lightning.utils.checks import fingerprint

OUTLINE_WEIGHTS = Path(__file__).parent / "assets" / "outline_classifier.pt"
NO_OUTLINE = 10
"""The class of an image without an outline, for the classifier of outlines."""
INSTEAD = "choose variant=cyclegan data=digit_outlines, or metrics=sliced_wasserstein for other images"


class DigitTranslation(SampleMetric):
    """The share of digits whose class survives translation, for `data=digit_outlines`.

    `compute` gives

    - `kept_a_to_b`: of strokes turned into outlines, those that a classifier of outlines reads as the digit they were
      made from. It knows eleven classes, the last of them "no outline".
    - `kept_b_to_a`: of outlines turned into strokes, those that the package's classifier of digits reads as the digit
      they were made from, and the classifier of outlines as no outline.
    - `kept`: the mean of both.

    What leaves its sources as they are keeps next to nothing. Held-out digits, translated perfectly, keep .96 and .97.

    The sources are the training digits of their domains, which the translators have seen. The classifier of outlines
    was trained on digits of domain B alone, so that the sources of `kept_a_to_b` are new to it; those of `kept_b_to_a`
    were, as strokes, among the 9 000 that the classifier of digits was trained on.
    """

    keys = ("kept_a_to_b", "kept_b_to_a", "kept")
    needs_labels = True

    kept_digits: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.of_strokes, self.of_outlines = trained_digit_classifier(), trained_outline_classifier()
        self.config = {"strokes": fingerprint(DIGIT_WEIGHTS), "outlines": fingerprint(OUTLINE_WEIGHTS)}
        self.add_state("kept_digits", torch.zeros(2, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def check_labels(self, labels: Tensor | None) -> None:
        """Raise a ValueError for fakes whose sources have no known digits."""
        if labels is None or labels.ndim != 2:
            raise ValueError(f"metrics=translation is for pairs of digits whose classes are known: {INSTEAD}")

    def accumulate(self, samples: Tensor, real: bool) -> None:
        """Refuse samples that are no pairs of grey digits, (batch, 2, 28, 28); without labels nothing is kept."""
        if tuple(samples.shape[1:]) != (2, DIGIT_SIZE, DIGIT_SIZE):
            raise ValueError(
                f"metrics=translation reads samples (batch, 2, 28, 28), not {tuple(samples.shape)}: {INSTEAD}"
            )

    def accumulate_labelled(self, samples: Tensor, labels: Tensor, real: bool) -> None:
        """Take pairs of fakes, (batch, 2, 28, 28) in [-1, 1]: a stroke made of an outline, an outline made of a stroke.

        Args:
            samples: the pairs.
            labels: the digits that the sources show, (batch, 2): that of the stroke, that of the outline.
            real: real pairs say nothing here.
        """
        if real:
            return
        strokes, outlines = quantise(samples).div(127.5).sub(1.0).split(1, dim=1)
        of_a = self.of_outlines(outlines).argmax(dim=1) == labels[:, 0]
        of_b = self.of_strokes(strokes).argmax(dim=1) == labels[:, 1]
        of_b &= self.of_outlines(strokes).argmax(dim=1) == NO_OUTLINE
        self.kept_digits += torch.stack([of_a, of_b]).sum(dim=1)
        self.count += len(labels)

    def compute(self) -> dict[str, float]:
        if self.count == 0:
            raise ValueError("metrics=translation has no fakes to evaluate: raise metrics.num_fakes")
        a_to_b, b_to_a = (self.kept_digits.double() / self.count).tolist()
        return {"kept_a_to_b": a_to_b, "kept_b_to_a": b_to_a, "kept": (a_to_b + b_to_a) / 2}


def outline_classifier(dim: int) -> DigitClassifier:
    """Return an untrained classifier of 28x28 outlines in [-1, 1]: logits of the ten digits and of `NO_OUTLINE`."""
    classifier = DigitClassifier(dim)
    classifier.head = nn.Linear(dim, NO_OUTLINE + 1)
    return classifier


def trained_outline_classifier() -> DigitClassifier:
    """Return the classifier with the weights that come with the package, frozen (`train_outline_classifier.py`)."""
    return with_weights(OUTLINE_WEIGHTS, outline_classifier)
