"""What the explorer shows, beside the samples of the front door and beside distances that NumPy computes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.sampled_runs import SMALL, run

import gan_lightning as gl
from gan_lightning.explore.samples import (
    Choice,
    Pin,
    code_count,
    generate,
    interpolation,
    label_kind,
    label_words,
    latents,
    load_checkpoints,
    nearest_images,
    run_name,
    samples,
    training_images,
)
from gan_lightning.utils.errors import UserError

SHAPES = ("data=shapes", "data.train_size=64")


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of shapes, whose classes have names."""
    return run(tmp_path_factory.mktemp("named"), *SMALL, *SHAPES, "prior=labelled_onehot", "prior.noise.dim=4")


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("coded"), *SMALL, *SHAPES, "variant=infogan")


def test_samples_of_a_seed_a_class_and_a_truncation_are_those_of_the_front_door(named: Path):
    (checkpoint,) = load_checkpoints(str(named))
    shown = samples(checkpoint.gan, Choice(seed=3, count=5, truncation=0.5, label=2))
    assert torch.equal(shown, gl.load(named).sample(5, labels=[2], seed=3, truncation=0.5))


def test_raw_weights_are_those_of_the_generator_that_was_trained(named: Path):
    gan = load_checkpoints(str(named))[0].gan
    with torch.no_grad():
        next(gan.averaged_generator.parameters()).add_(1.0)
        raw = gan.generator(latents(gan, Choice(seed=1, count=3)))
    assert torch.equal(samples(gan, Choice(seed=1, count=3, averaged=False)), raw)
    assert not torch.equal(samples(gan, Choice(seed=1, count=3)), raw)


def test_classes_go_by_their_names_and_clusters_by_number(named: Path, tmp_path: Path):
    (checkpoint,) = load_checkpoints(str(named))
    assert (label_kind(checkpoint), list(label_words(checkpoint))) == (
        "class",
        list(checkpoint.config.data.class_names),
    )
    clusters = run(tmp_path, *SMALL, *SHAPES, "data.clusters=5", "prior=labelled_onehot")
    (checkpoint,) = load_checkpoints(str(clusters))
    assert (label_kind(checkpoint), label_words(checkpoint)) == ("cluster", {str(n): n for n in range(5)})


def test_codes_and_a_category_replace_the_drawn_ones_and_the_noise_stays(coded: Path):
    (checkpoint,) = load_checkpoints(str(coded))
    gan, size = checkpoint.gan, code_count(checkpoint.gan)
    assert size > 0
    drawn = latents(gan, Choice(count=3))
    chosen = latents(gan, Choice(count=3, label=1, codes=(0.5,) * size))
    assert torch.equal(chosen.z[:, -size:], torch.full((3, size), 0.5))
    assert chosen.labels is not None
    assert chosen.labels.tolist() == [1, 1, 1]
    categories = len(label_words(checkpoint))
    assert torch.equal(chosen.z[:, : -size - categories], drawn.z[:, : -size - categories])
    assert chosen.z[:, -size - categories : -size].argmax(1).tolist() == [1, 1, 1]
    assert torch.equal(latents(gan, Choice(count=3)).z, gl.load(coded).prior.sample(3, rng(gan)).z)


def rng(gan: gl.GAN) -> torch.Generator:
    from gan_lightning.randomness import generator_for

    return generator_for(0, "samples", device=gan.device)


def test_interpolation_begins_and_ends_at_the_pinned_samples(named: Path):
    gan = load_checkpoints(str(named))[0].gan
    first, last = Pin(Choice(seed=1, count=4, label=0), 2), Pin(Choice(seed=2, count=4, label=0), 3)
    for straight in (False, True):
        way = interpolation(gan, first, last, steps=4, straight=straight)
        assert len(way) == 5
        torch.testing.assert_close(way[0], samples(gan, first.choice)[2])
        torch.testing.assert_close(way[-1], samples(gan, last.choice)[3])


def test_half_way_is_the_mean_of_the_noise_on_a_line_and_longer_on_the_arc(named: Path):
    gan = load_checkpoints(str(named))[0].gan
    pins = Pin(Choice(seed=1, count=1, label=0), 0), Pin(Choice(seed=2, count=1, label=0), 0)
    start, end = (latents(gan, pin.choice).z for pin in pins)
    middle = gl.Latent((start + end) / 2, labels=torch.zeros(1, dtype=torch.int64))
    torch.testing.assert_close(interpolation(gan, *pins, 2, straight=True)[1:2], generate(gan, middle))
    noise = [z[0, :4].double().numpy() for z in (start, end)]
    angle = np.arccos(noise[0] @ noise[1] / np.linalg.norm(noise[0]) / np.linalg.norm(noise[1]))
    arc = middle.z.clone()
    arc[0, :4] = torch.from_numpy((noise[0] + noise[1]) / (2 * np.cos(angle / 2)))  # the half angle's own formula
    torch.testing.assert_close(interpolation(gan, *pins, 2)[1:2], generate(gan, gl.Latent(arc, labels=middle.labels)))


def test_nearest_images_are_those_of_a_search_by_numpy(named: Path):
    images = training_images(load_checkpoints(str(named))[0].config)
    assert len(images) == 64
    sample = torch.rand(images.shape[1:], generator=torch.Generator().manual_seed(0)) * 2 - 1
    pixels = np.rint((sample.numpy() + 1) * 127.5)
    distances = np.sqrt(((images.numpy() - pixels) ** 2).reshape(64, -1).sum(1)) / 127.5
    order = distances.argsort()[:3]
    found, apart = nearest_images(sample, images, 3)
    np.testing.assert_allclose(apart, distances[order], rtol=1e-5)
    np.testing.assert_allclose(found, images.numpy()[order] / 127.5 - 1, atol=1e-6)


def test_a_training_image_is_its_own_nearest(named: Path):
    images = training_images(load_checkpoints(str(named))[0].config)
    found, apart = nearest_images(images[7].float() / 127.5 - 1, images, 1)
    assert apart.item() == 0
    torch.testing.assert_close(found[0], images[7].float() / 127.5 - 1)


def test_checkpoints_of_a_run_come_by_iterations_and_one_file_alone(named: Path, tmp_path: Path):
    longer = run(tmp_path / "longer", *SMALL, *SHAPES, "prior=labelled_onehot", "prior.noise.dim=4", "max_iterations=2")
    shutil.copy(named / "checkpoints/last.ckpt", longer / "checkpoints/zero.ckpt")
    found = load_checkpoints(str(longer))
    assert [(checkpoint.file.stem, checkpoint.gan.iterations) for checkpoint in found] == [("zero", 1), ("last", 2)]
    assert [checkpoint.file.stem for checkpoint in load_checkpoints(str(longer / "checkpoints/zero.ckpt"))] == ["zero"]
    assert run_name(str(longer)) == run_name(str(longer / "checkpoints/zero.ckpt")) == "longer"


def test_samples_that_are_no_pictures_are_refused(tmp_path: Path):
    points = run(tmp_path, "data=ring", *(setting for setting in SMALL if "samples" not in setting))
    with pytest.raises(UserError, match="no pictures"):
        load_checkpoints(str(points))
