from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import entropy
from torch import Tensor

import gan_lightning.data
from gan_lightning.data.idx import read_idx
from gan_lightning.extractors.digits import trained_digit_classifier
from gan_lightning.metrics.digits import DigitQuality

DIGITS = Path(gan_lightning.data.__file__).parent / "assets" / "mnist10k"


@pytest.fixture(scope="module")
def digits() -> Tensor:
    """The 1 000 held-out digits, (1000, 1, 28, 28) in [-1, 1]."""
    return read_idx(DIGITS / "t10k-images-idx3-ubyte.gz")[:, None].float() / 127.5 - 1.0


@pytest.fixture(scope="module")
def labels() -> Tensor:
    return read_idx(DIGITS / "t10k-labels-idx1-ubyte.gz")


def quality(real: Tensor, fake: Tensor) -> dict[str, float]:
    metric = DigitQuality()
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return metric.compute()


def test_equals_numpy_and_scipy_on_the_classifiers_outputs(digits: Tensor):
    classifier = trained_digit_classifier()
    real, fake = digits[:400], digits[400:700] * 0.8
    values = quality(real, fake)
    fake = ((fake + 1) * 127.5).round() / 127.5 - 1
    a, b = (classifier.features(images).double().numpy() for images in (real, fake))
    root = sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False) + 1e-12 * np.eye(64)).real
    spread = np.trace(np.cov(a, rowvar=False) + np.cov(b, rowvar=False) - 2 * root)
    assert values["fid"] == pytest.approx(np.square(a.mean(0) - b.mean(0)).sum() + spread, rel=1e-4)
    probabilities = classifier(fake).softmax(dim=1).numpy()
    assert values["confidence"] == pytest.approx(probabilities.max(axis=1).mean(), rel=1e-5)
    shares = np.bincount(probabilities.argmax(axis=1), minlength=10) / 300
    assert values["class_entropy"] == pytest.approx(entropy(shares) / np.log(10), rel=1e-6)


def test_tells_digits_from_noise(digits: Tensor):
    noise = torch.rand(500, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    other_digits, noise_values = quality(digits[500:], digits[:500]), quality(digits[500:], noise)
    assert other_digits["fid"] < 40
    assert noise_values["fid"] > 2000
    assert other_digits["confidence"] > 0.98
    assert other_digits["class_entropy"] > 0.98


def test_one_kind_of_digit_has_no_class_entropy_and_two_have_log_2(digits: Tensor, labels: Tensor):
    sure = trained_digit_classifier()(digits).argmax(dim=1) == labels
    zeros, ones = (digits[(labels == kind) & sure][:60] for kind in (0, 1))
    assert quality(digits, zeros)["class_entropy"] == 0.0
    assert quality(digits, torch.cat([zeros, ones]))["class_entropy"] == pytest.approx(np.log10(2))


def test_fakes_are_read_as_the_8_bit_file_would_be(digits: Tensor):
    within_half_a_level = digits[:50] + 0.49 / 127.5 * (torch.rand(50, 1, 28, 28) * 2 - 1)
    assert quality(digits, within_half_a_level) == quality(digits, digits[:50])


def test_real_and_fake_of_another_size_are_resized(digits: Tensor):
    large = torch.nn.functional.interpolate(digits[:300], size=(56, 56))
    assert quality(large, large)["fid"] == pytest.approx(0.0, abs=1e-6)
    assert quality(digits[:300], large)["confidence"] > 0.95


def test_colour_is_refused_before_anything_is_counted():
    metric = DigitQuality()
    with pytest.raises(ValueError, match="grey images"):
        metric.update(torch.zeros(2, 3, 28, 28), real=True)
    assert metric.real_count == 0
