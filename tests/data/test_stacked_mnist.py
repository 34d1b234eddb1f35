from __future__ import annotations

import pytest
import torch
from hydra.utils import instantiate

from gan_lightning.data.mnist import ASSETS, read_split


def test_each_channel_is_a_digit_and_the_class_names_all_three(settings):
    pixels, labels = read_split(ASSETS / "mnist10k", train=True)
    assert labels is not None
    digit_of = {image.numpy().tobytes(): int(label) for image, label in zip(pixels[:, 0], labels, strict=True)}
    stacked = instantiate(settings("stacked_mnist", train_size=200)).read(train=True)
    assert stacked.pixels.shape == (200, 3, 28, 28)
    for image, label in zip(stacked.pixels, stacked.labels, strict=True):
        red, green, blue = (digit_of[channel.numpy().tobytes()] for channel in image)
        assert label == 100 * red + 10 * green + blue


def test_channels_are_drawn_independently(settings):
    """Each of the 100 pairs of two channels' digits comes as often as its digits do, within five deviations."""
    labels = instantiate(settings("stacked_mnist", train_size=20_000)).read(train=True).labels
    _, of_digits = read_split(ASSETS / "mnist10k", train=True)
    assert of_digits is not None
    digits = torch.bincount(of_digits) / 9000
    for pairs in (labels // 10, labels % 100, labels // 100 * 10 + labels % 10):
        expected = torch.outer(digits, digits).flatten() * 20_000
        assert ((torch.bincount(pairs, minlength=100) - expected).abs() < 5 * expected.sqrt()).all()


def test_the_draw_depends_on_its_own_seed_alone_and_the_splits_differ(settings):
    first, same, other = (
        instantiate(settings("stacked_mnist", train_size=40, test_size=30, **seeds))
        for seeds in ({}, {"seed": 5}, {"stack_seed": 1})
    )
    assert torch.equal(first.read(train=True).pixels, same.read(train=True).pixels)
    assert not torch.equal(first.read(train=True).pixels, other.read(train=True).pixels)
    assert not torch.equal(first.read(train=True).pixels[:30], first.read(train=False).pixels)
    assert first.fingerprint() == same.fingerprint() != other.fingerprint()


@pytest.mark.parametrize("below", [".", "MNIST/raw"])
def test_digits_of_a_folder_are_stacked(tmp_path, write_mnist, settings, below):
    written = write_mnist(tmp_path / below)
    stacked = instantiate(settings("stacked_mnist", root=str(tmp_path), train_size=50)).read(train=True)
    known = {image.tobytes() for image in written["train-images-idx3-ubyte"]}
    assert {channel.numpy().tobytes() for image in stacked.pixels for channel in image} <= known


def test_metrics_compare_with_the_first_images_of_the_split(settings):
    data = instantiate(settings("stacked_mnist", train_size=40, test_size=10, compared=25))
    assert data.reference_size == 25
    reference = torch.cat(list(data.reference_batches("cpu", batch_size=7)))
    assert torch.equal(((reference + 1) * 127.5).round().to(torch.uint8), data.read(train=True).pixels[:25])
    assert instantiate(settings("stacked_mnist", test_size=10, reference="test")).reference_size == 10


def test_a_folder_without_digits_is_named(tmp_path, settings):
    with pytest.raises(FileNotFoundError, match=r"has no train-images-idx3-ubyte.*set data.root"):
        instantiate(settings("stacked_mnist", root=str(tmp_path))).read(train=True)


@pytest.mark.parametrize("change", [{"train_size": 0}, {"test_size": 1.5}, {"compared": 0}, {"stack_seed": -1}])
def test_impossible_sizes_are_refused(settings, change):
    with pytest.raises(Exception, match=f"data.{next(iter(change))} must be a whole number"):
        instantiate(settings("stacked_mnist", **change))
