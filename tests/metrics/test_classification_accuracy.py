"""What a classifier learns from fakes, and that it is trained the same way each time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gan_lightning.data.mnist import ASSETS, read_split
from gan_lightning.data.pixels import normalize
from gan_lightning.extractors.small_classifier import augmented, train_classifier
from gan_lightning.metrics.classification_accuracy import ClassificationAccuracy


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    """Held-out digits as uint8 (1000, 1, 28, 28), and their classes."""
    pixels, labels = read_split(ASSETS / "mnist10k", train=False)
    assert labels is not None
    return pixels, labels


def evaluated(fake: Tensor, fake_labels: Tensor, real: Tensor, real_labels: Tensor, epochs: int = 6) -> float:
    metric = ClassificationAccuracy(10, epochs)
    metric.update(normalize(real), real=True, labels=real_labels)
    metric.update(normalize(fake), real=False, labels=fake_labels)
    return metric.compute()["classification_accuracy"]


def test_fakes_like_the_data_teach_and_those_with_other_classes_or_one_digit_do_not(digits: tuple[Tensor, Tensor]):
    pixels, labels = digits
    halves = pixels[:500], labels[:500], pixels[500:], labels[500:]
    assert evaluated(*halves) > 0.75
    assert evaluated(pixels[:500], (labels[:500] + 1) % 10, *halves[2:]) < 0.1
    zero = (labels[:500] == 0).nonzero().flatten()[:20].repeat(10)
    share = (labels[500:] == 0).double().mean().item()
    assert evaluated(pixels[zero], labels[zero], *halves[2:], epochs=2) == pytest.approx(share)


def test_the_accuracy_is_that_of_the_classifier(digits: tuple[Tensor, Tensor]):
    pixels, labels = digits
    classifier = train_classifier(pixels[:200], labels[:200], 10, seed=0, epochs=2, progress=None)
    expected = (classifier(normalize(pixels[200:300])).argmax(dim=1) == labels[200:300]).double().mean().item()
    assert evaluated(pixels[:200], labels[:200], pixels[200:300], labels[200:300], epochs=2) == expected


def test_training_repeats_wherever_it_runs(digits: tuple[Tensor, Tensor]):
    pixels, labels = digits[0][:150], digits[1][:150]
    first = train_classifier(pixels, labels, 10, seed=3, epochs=1, progress=None).state_dict()
    before = torch.get_rng_state()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        again = train_classifier(pixels + 0, labels + 0, 10, seed=3, epochs=1, progress=None)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], weight) for name, weight in again.state_dict().items())
    assert not any(weight.requires_grad for weight in again.parameters())
    other = train_classifier(pixels, labels, 10, seed=4, epochs=1, progress=None).state_dict()
    assert not torch.equal(first["head.weight"], other["head.weight"])


def dark_and_light(shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Sixty images of two classes, (60, *shape) of uint8, and the classes."""
    labels = torch.arange(60) % 2
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(128, (60, *shape), generator=rng) + 127 * labels[:, None, None, None]
    return pixels.to(torch.uint8), labels


def test_reset_forgets_what_fakes_taught():
    pixels, labels = dark_and_light((1, 8, 8))
    metric = ClassificationAccuracy(2, epochs=15)
    metric.update(normalize(pixels), real=True, labels=labels)
    for taught, accuracy in ((1 - labels, 0.0), (labels, 1.0)):
        metric.reset()
        metric.update(normalize(pixels), real=False, labels=taught)
        assert metric.compute() == {"classification_accuracy": accuracy}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_generator_that_diverged_has_no_accuracy(value: float):
    pixels, labels = dark_and_light((1, 8, 8))
    metric = ClassificationAccuracy(2, epochs=1)
    metric.update(normalize(pixels), real=True, labels=labels)
    fakes = normalize(pixels)
    fakes[3, 0, 0, 0] = value
    metric.update(fakes, real=False, labels=labels)
    assert math.isnan(metric.compute()["classification_accuracy"])


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 48, 40), (2, 9, 20)])
def test_images_of_any_channels_and_size_are_learned(shape: tuple[int, int, int]):
    pixels, labels = dark_and_light(shape)
    classifier = train_classifier(pixels, labels, 2, epochs=15, progress=None)
    assert classifier.features(normalize(pixels)).shape == (60, classifier.dim)
    assert (classifier(normalize(pixels)).argmax(dim=1) == labels).all()


def test_augmentation_moves_each_image_by_a_little_of_its_own():
    images = torch.full((50, 1, 28, 28), -1.0)
    images[:, :, 13:15, 13:15] = 1.0
    rng = torch.Generator().manual_seed(0)
    weight = augmented(images, rng) + 1.0
    place = torch.arange(28.0)
    centre = torch.stack([(weight.sum(dim) * place).sum(-1).squeeze(1) / weight.sum((1, 2, 3)) for dim in (2, 3)])
    assert 0.5 < (centre - 13.5).std() < 2 and (centre - 13.5).abs().max() < 2.6  # 2 pixels of shift, seen at scale .9
    assert torch.equal(augmented(torch.full((2, 1, 8, 8), 0.25), rng), torch.full((2, 1, 8, 8), 0.25))
    assert (augmented(images, rng, strength=0.0) - images).abs().max() < 1e-4


def test_samples_that_do_not_fit_are_refused(digits: tuple[Tensor, Tensor]):
    images, labels = normalize(digits[0][:20]), digits[1][:20]
    with pytest.raises(ValueError, match="classification_accuracy: the data have no classes"):
        ClassificationAccuracy(None)
    with pytest.raises(ValueError, match="at least 1 epoch, not 0"):
        ClassificationAccuracy(10, epochs=0)
    metric = ClassificationAccuracy(10)
    with pytest.raises(ValueError, match=r"reads images \(batch, channels, height, width\), not \(5, 2\)"):
        metric.update(torch.zeros(5, 2), real=True)
    with pytest.raises(ValueError, match="no fake was made for a class: .*prior=labelled"):
        metric.update(images, real=False)
    with pytest.raises(ValueError, match="labels of 10 classes, 0 to 9, not 1"):
        metric.update(images, real=False, labels=labels + 10)
    metric.update(images, real=False, labels=labels)
    with pytest.raises(ValueError, match="not 0 real and 20 fake"):
        metric.compute()
    with pytest.raises(ValueError, match="images with a label each, not 0 with 0"):
        train_classifier(digits[0][:0], labels[:0], 10)
    with pytest.raises(ValueError, match="labels of 3 classes are 0 to 2"):
        train_classifier(digits[0][:20], labels, 3)


@pytest.mark.slow
def test_the_recipe_reads_held_out_digits(digits: tuple[Tensor, Tensor]):
    pixels, labels = read_split(ASSETS / "mnist10k", train=True)
    assert labels is not None
    classifier = train_classifier(pixels, labels, 10, progress=None)
    assert (classifier(normalize(digits[0])).argmax(dim=1) == digits[1]).double().mean() >= 0.98
