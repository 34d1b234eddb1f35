"""Which translations of digits count as kept, and how good the classifier is that says so of outlines."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

from gan_lightning.data.digit_outlines import outlines
from gan_lightning.data.mnist import ASSETS, read_split
from gan_lightning.data.pixels import normalize
from gan_lightning.metrics.translation import (
    NO_OUTLINE,
    OUTLINE_WEIGHTS,
    DigitTranslation,
    trained_outline_classifier,
)


@pytest.fixture(scope="module")
def held_out() -> tuple[Tensor, Tensor, Tensor]:
    """The 1 000 held-out digits as strokes and as outlines, (1000, 1, 28, 28) in [-1, 1], and their classes."""
    pixels, labels = read_split(ASSETS / "mnist10k", train=False)
    assert labels is not None
    return normalize(pixels), normalize(outlines(pixels)), labels


def evaluated(fakes: Tensor, labels: Tensor) -> dict[str, float]:
    metric = DigitTranslation()
    metric.update(fakes, real=False, labels=labels)
    return metric.compute()


def test_the_classifier_is_as_good_as_its_record_says(held_out: tuple[Tensor, Tensor, Tensor]) -> None:
    strokes, lines, labels = held_out
    record = json.loads(OUTLINE_WEIGHTS.with_suffix(".json").read_text())
    classifier = trained_outline_classifier()
    accuracy = (classifier(lines).argmax(1) == labels).double().mean().item()
    refused = (classifier(strokes).argmax(1) == NO_OUTLINE).double().mean().item()
    # One digit of a thousand may fall otherwise where arithmetic differs in the last place.
    assert accuracy == pytest.approx(record["test"]["accuracy"], abs=0.0011) and accuracy >= 0.95
    assert refused == pytest.approx(record["test"]["strokes_refused"], abs=0.0011) and refused >= 0.97
    assert not any(parameter.requires_grad for parameter in classifier.parameters())
    assert OUTLINE_WEIGHTS.stat().st_size < 200_000


def test_a_perfect_translation_keeps_nearly_all(held_out: tuple[Tensor, Tensor, Tensor]) -> None:
    """Of other digits for a and b, so that each half is held against its own source."""
    strokes, lines, labels = held_out
    shifted = torch.roll(torch.arange(1000), 1)
    # F(b) shows the stroke of b's digit, G(a) the outline of a's.
    values = evaluated(torch.cat([strokes[shifted], lines], dim=1), torch.stack([labels, labels[shifted]], dim=1))
    assert values["kept_a_to_b"] > 0.95
    assert values["kept_b_to_a"] > 0.96
    assert values["kept"] == (values["kept_a_to_b"] + values["kept_b_to_a"]) / 2


def test_the_wrong_digit_or_none_is_not_kept(held_out: tuple[Tensor, Tensor, Tensor]) -> None:
    strokes, lines, labels = held_out
    other = evaluated(torch.cat([strokes, lines], dim=1), torch.stack([labels, labels], dim=1) + 1)
    assert max(other.values()) < 0.05
    # What leaves its sources as they are translates nothing.
    same = evaluated(torch.cat([lines, strokes], dim=1), torch.stack([labels, labels], dim=1))
    assert same["kept_a_to_b"] < 0.03
    assert same["kept_b_to_a"] < 0.03


def test_counts_by_hand_in_batches_and_over_ranks(held_out: tuple[Tensor, Tensor, Tensor]) -> None:
    strokes, lines, labels = held_out
    metric, other = DigitTranslation(), DigitTranslation()
    sure = (metric.of_outlines(lines).argmax(1) == labels) & (metric.of_strokes(strokes).argmax(1) == labels)
    sure &= metric.of_outlines(strokes).argmax(1) == NO_OUTLINE
    strokes, lines, labels = (part[sure][:10] for part in held_out)
    wrong = torch.stack([labels, labels], dim=1)
    wrong[:3, 0] += 1
    wrong[9, 1] += 1
    pairs = torch.cat([strokes, lines], dim=1)
    metric.update(pairs, real=True)  # of no account
    metric.update(pairs[:4], real=False, labels=wrong[:4])
    other.update(pairs[4:9], real=False, labels=wrong[4:9])
    other.update(pairs[9:], real=False, labels=wrong[9:])
    metric.merge_state(other)
    assert metric.compute() == {"kept_a_to_b": 0.7, "kept_b_to_a": 0.9, "kept": 0.8}
    metric.reset()
    with pytest.raises(ValueError, match="no fakes"):
        metric.compute()


@pytest.mark.parametrize("labels", [None, torch.zeros(2, dtype=torch.int64)])
def test_fakes_of_unknown_sources_are_refused(labels: Tensor | None) -> None:
    with pytest.raises(ValueError, match=r"choose variant=cyclegan data=digit_outlines"):
        DigitTranslation().update(torch.zeros(2, 2, 28, 28), real=False, labels=labels)


@pytest.mark.parametrize("shape", [(2, 1, 28, 28), (2, 6, 28, 28), (2, 2, 32, 32)])
def test_other_images_are_refused_before_training(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"reads samples \(batch, 2, 28, 28\).*metrics=sliced_wasserstein"):
        DigitTranslation().update(torch.zeros(shape), real=True)


def test_leaves_torchs_random_state_alone() -> None:
    before = torch.get_rng_state()
    DigitTranslation()
    assert torch.equal(torch.get_rng_state(), before)
