from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import gan_lightning.data
from gan_lightning.data.idx import read_idx
from gan_lightning.data.pixels import quantise
from gan_lightning.extractors.digits import DIGIT_WEIGHTS, Digits, StackedDigits, digit_sized, trained_digit_classifier

DIGITS = Path(gan_lightning.data.__file__).parent / "assets" / "mnist10k"


def test_quantise_rounds_to_the_nearest_of_256_levels_and_clamps():
    images = torch.tensor([-7.0, -1.0, -1.0 + 0.4 / 127.5, -1.0 + 0.6 / 127.5, 0.0, 0.01, 1.0, 1.2])
    expected = [0, 0, 0, 1, np.rint(127.5), np.rint(127.5 * 1.01), 255, 255]
    assert quantise(images).tolist() == expected


def test_quantise_gives_every_stored_level_back():
    levels = torch.arange(256)
    assert torch.equal(quantise(levels.float() / 127.5 - 1.0).to(torch.uint8), levels.to(torch.uint8))


def test_quantise_lets_what_is_not_finite_be_seen():
    assert quantise(torch.tensor([math.nan, math.inf, -math.inf, 0.0])).isnan().tolist() == [True, True, True, False]


def test_the_classifier_is_as_good_as_its_record_says():
    record = json.loads(DIGIT_WEIGHTS.with_suffix(".json").read_text())
    images = read_idx(DIGITS / "t10k-images-idx3-ubyte.gz")[:, None].float() / 127.5 - 1.0
    labels = read_idx(DIGITS / "t10k-labels-idx1-ubyte.gz")
    logits = trained_digit_classifier()(images).double().numpy()
    probabilities = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    right = probabilities.argmax(axis=1) == labels.numpy()
    # One digit of a thousand may fall otherwise where arithmetic differs in the last place.
    assert right.mean() == pytest.approx(record["test_accuracy"], abs=0.0011)
    assert right.mean() >= 0.99
    assert probabilities.max(axis=1).mean() == pytest.approx(record["test_confidence"], abs=1e-4)
    likelihood = probabilities[np.arange(len(labels)), labels.numpy()]
    assert -np.log(likelihood).mean() == pytest.approx(record["test_cross_entropy"], abs=1e-4)


def test_the_classifier_is_small_and_frozen():
    assert DIGIT_WEIGHTS.stat().st_size < 1_000_000
    classifier = trained_digit_classifier()
    assert not any(parameter.requires_grad for parameter in classifier.parameters())
    assert all(parameter.dtype == torch.float32 for parameter in classifier.parameters())
    record = json.loads(DIGIT_WEIGHTS.with_suffix(".json").read_text())
    assert classifier.features(torch.zeros(2, 1, 28, 28)).shape == (2, record["feature_dim"])


def test_digits_of_another_size_are_resized_with_antialiasing():
    images = torch.zeros(2, 1, 56, 56)
    images[:, :, 10:20, 30:44] = 1.0
    assert torch.equal(digit_sized(images[:, :, :28, :28]), images[:, :, :28, :28])
    small = digit_sized(images)
    assert small.shape == (2, 1, 28, 28)
    # Halving with antialiasing keeps the mean; picking every second pixel of a one-pixel pattern would not.
    checks = (torch.arange(56)[:, None] + torch.arange(56)) % 2.0
    assert digit_sized(checks.expand(1, 1, 56, 56)).sub(0.5).abs().max() < 0.1
    assert small.mean().item() == pytest.approx(images.mean().item(), rel=1e-5)


@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (2, 28, 28), (2, 2)])
def test_only_grey_images_are_digits(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"grey images .* choose metrics=inception or metrics=sliced_wasserstein"):
        digit_sized(torch.zeros(shape))


def test_stacked_digits_are_read_channel_by_channel():
    digits = read_idx(DIGITS / "t10k-images-idx3-ubyte.gz")[:60].float() / 127.5 - 1.0
    found = StackedDigits()(digits.reshape(20, 3, 28, 28))
    alone = Digits()(digits[:, None])
    assert alone.logits is not None and found.logits is not None
    torch.testing.assert_close(found.features, alone.features.reshape(20, 3 * 64))
    by_channel = alone.logits.softmax(1).reshape(20, 3, 10)
    expected = torch.stack([torch.einsum("a,b,c->abc", *row).flatten() for row in by_channel])
    torch.testing.assert_close(found.logits.softmax(1), expected)
    read = alone.logits.argmax(1).reshape(20, 3)
    assert torch.equal(found.logits.argmax(1), read @ torch.tensor([100, 10, 1]))


def test_stacked_digits_need_three_channels():
    with pytest.raises(ValueError, match=r"three channels.*choose data=stacked_mnist"):
        StackedDigits()(torch.zeros(2, 1, 28, 28))
