"""Metrics of labels, by known answers: digits that the classifier reads rightly, with labels that fit or not."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
import torch
from torch import Tensor

import gan_lightning.data
from gan_lightning.data.idx import read_idx
from gan_lightning.extractors.digits import trained_digit_classifier
from gan_lightning.metrics.label_accuracy import ClusterAccuracy, ConditionalAccuracy, LabelCounts

DIGITS = Path(gan_lightning.data.__file__).parent / "assets" / "mnist10k"


@pytest.fixture(scope="module")
def certain() -> Tensor:
    """Four digits of each of the ten kinds that the classifier reads rightly, (40, 1, 28, 28): four 0s, four 1s, ..."""
    images = read_idx(DIGITS / "t10k-images-idx3-ubyte.gz")[:, None].float() / 127.5 - 1.0
    labels = read_idx(DIGITS / "t10k-labels-idx1-ubyte.gz")
    right = trained_digit_classifier()(images).argmax(1) == labels
    return torch.cat([images[(labels == digit) & right][:4] for digit in range(10)])


SHOWN = torch.arange(10).repeat_interleave(4)
"""What they are."""


def value(metric: LabelCounts, images: Tensor, labels: Tensor) -> float:
    """What `metric` says of fakes shown in two batches."""
    for rows in (slice(0, 13), slice(13, None)):
        metric.update(images[rows], real=False, labels=labels[rows])
    (number,) = metric.compute().values()
    return number


def test_label_accuracy_is_the_share_of_digits_of_their_labels(certain: Tensor) -> None:
    assert value(ConditionalAccuracy(), certain, SHOWN) == 1.0
    one_in_four_wrong = SHOWN.clone()
    one_in_four_wrong[::4] = (SHOWN[::4] + 1) % 10
    assert value(ConditionalAccuracy(), certain, one_in_four_wrong) == 0.75
    assert value(ConditionalAccuracy(), certain, (SHOWN + 1) % 10) == 0.0


def test_codes_may_be_called_anything(certain: Tensor) -> None:
    names = torch.tensor([7, 3, 9, 0, 1, 8, 2, 6, 4, 5])
    assert value(ClusterAccuracy(), certain, names[SHOWN]) == 1.0
    assert value(ClusterAccuracy(), certain, names[SHOWN] + 80) == 1.0
    assert value(ConditionalAccuracy(), certain, names[SHOWN]) == 0.0


def test_the_matching_of_codes_is_the_best_of_all_and_one_to_one(certain: Tensor) -> None:
    images, digits = certain[SHOWN < 5], SHOWN[SHOWN < 5]
    codes = torch.tensor([0, 0, 0, 0, 0, 0, 0, 1, 2, 2, 1, 1, 3, 3, 4, 4, 4, 4, 3, 4])
    best = max(int((torch.tensor(order)[codes] == digits).sum()) for order in permutations(range(5)))
    each_by_itself = sum(int(digits[codes == code].bincount().max()) for code in range(5))
    assert best < each_by_itself, "two codes want one digit, or the case shows nothing"
    assert value(ClusterAccuracy(), images, codes) == best / 20


def test_fewer_codes_leave_digits_and_more_leave_fakes_unmatched(certain: Tensor) -> None:
    assert value(ClusterAccuracy(), certain, SHOWN // 2) == 0.5  # a code for two digits
    assert value(ClusterAccuracy(), certain, torch.zeros(40, dtype=torch.int64)) == 0.1  # collapsed codes
    assert value(ClusterAccuracy(), certain, 2 * SHOWN + torch.arange(40) % 2) == 0.5  # two codes for a digit
    assert value(ClusterAccuracy(), certain[:4], torch.arange(4)) == 0.25  # collapsed digits


def test_images_of_another_size_are_read_too(certain: Tensor) -> None:
    large = torch.nn.functional.interpolate(certain, size=(56, 56))
    assert value(ConditionalAccuracy(), large, SHOWN) >= 0.9


@pytest.mark.parametrize("metric", [ConditionalAccuracy, ClusterAccuracy])
def test_samples_that_do_not_fit_are_refused(
    metric: type[ConditionalAccuracy | ClusterAccuracy], certain: Tensor
) -> None:
    scored = metric()
    with pytest.raises(ValueError, match="no fake was made for a class: .*prior=labelled"):
        scored.update(certain, real=False)
    with pytest.raises(ValueError, match=r"one label for each fake, \(batch,\), not \(40, 2\)"):
        scored.update(certain, real=False, labels=torch.stack([SHOWN, SHOWN], 1))
    with pytest.raises(ValueError, match="labels below 100?, not 100: choose metrics=digits"):
        scored.update(certain, real=False, labels=torch.full((40,), 100))
    with pytest.raises(ValueError, match="grey images"):
        scored.update(certain.expand(-1, 3, -1, -1), real=False, labels=SHOWN)
    scored.update(certain, real=True)
    with pytest.raises(ValueError, match="at least one fake with a label"):
        scored.compute()
