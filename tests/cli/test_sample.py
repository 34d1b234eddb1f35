"""Samples by class and from truncated noise, as arrays and pictures, of a generator whose images tell their class."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from composing import composed, job_part
from PIL import Image
from playing import tiny_gan
from scipy import stats

from gan_lightning.cli.errors import UserError
from gan_lightning.cli.latents import TruncatedGaussian, latents, truncate
from gan_lightning.cli.sample import generated, sample
from gan_lightning.cli.session import train
from gan_lightning.priors import Gaussian, Labelled, Prior, Uniform
from gan_lightning.randomness import generator_for

SMALL = (
    "model=mlp",
    "model.generator.width=4",
    "model.generator.batch_norm=false",
    "max_iterations=1",
    "metrics=none",
    "logger=csv",
    "trainer.precision=32-true",
    "trainer.accelerator=cpu",
    "callbacks.samples=null",
)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a generator that is told one of ten classes, behind noise of 2."""
    return run(tmp_path_factory.mktemp("labelled"), "prior=labelled_onehot", "prior.noise.dim=2")


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("unlabelled"), "prior=uniform")


def run(directory: Path, *overrides: str) -> Path:
    with composed(*SMALL, *overrides, directory=directory) as config:
        train(job_part(config))
    return directory


def written(ckpt_path: Path, *overrides: str) -> Path:
    with composed(f"ckpt_path={ckpt_path}", "device=cpu", *overrides, config_name="sample") as config:
        (path,) = sample(config)
    return path


def prior(dim: int = 12) -> Labelled:
    return Labelled(dim, Gaussian(2), num_classes=10)


def rng() -> torch.Generator:
    return generator_for(0, "samples")


@pytest.mark.parametrize(
    ("count", "classes", "expected"),
    [
        (6, [3, 5], [3, 3, 3, 5, 5, 5]),
        (7, [5, 0, 3], [5, 5, 5, 0, 0, 3, 3]),
        (2, [9, 1], [9, 1]),
        (3, [7], [7, 7, 7]),
    ],
)
def test_classes_come_in_order_and_as_evenly_as_can_be(count: int, classes: list[int], expected: list[int]) -> None:
    latent, columns = latents(prior(), count, rng(), classes)
    assert columns is None
    assert latent.labels is not None and latent.labels.tolist() == expected
    assert latent.z[:, 2:].argmax(1).tolist() == expected  # what the generator is fed says so too
    assert len(latent.z[:, :2].unique(dim=0)) == count, "every sample has noise of its own"


def test_a_picture_has_a_class_in_each_row_and_one_noise_down_each_column() -> None:
    latent, columns = latents(prior(), 7, rng(), [8, 2], rows=True)
    assert columns == 3
    assert latent.labels is not None and latent.labels.tolist() == [8, 8, 8, 2, 2, 2]
    assert torch.equal(latent.z[:3, :2], latent.z[3:, :2])
    assert len(latent.z[:3, :2].unique(dim=0)) == 3
    whole, columns = latents(prior(), 64, rng(), rows=True)
    assert columns == 6
    assert whole.labels is not None and whole.labels.tolist() == torch.arange(10).repeat_interleave(6).tolist()


def test_an_array_of_classes_has_their_labels(labelled: Path, tmp_path: Path) -> None:
    path = written(labelled, "format=npz", "classes=[3,5]", "count=6", f"output={tmp_path}")
    assert path == tmp_path / "last_seed0_6_classes3-5.npz"
    arrays = np.load(path)
    assert arrays["samples"].shape == (6, 28, 28, 1)
    assert arrays["labels"].dtype == np.int64 and arrays["labels"].tolist() == [3, 3, 3, 5, 5, 5]
    plain = np.load(written(labelled, "format=npz", "count=300", f"output={tmp_path}"))
    assert set(plain["labels"].tolist()) == set(range(10)), "drawn by the prior"


def test_a_grid_has_whole_rows_of_each_class(labelled: Path, tmp_path: Path) -> None:
    path = written(labelled, "classes=[3,5,7]", "count=13", f"output={tmp_path}")
    assert path.name == "last_seed0_12_classes3-5-7.png"
    width, height = Image.open(path).size
    assert width * (3 * 30 + 2) == height * (4 * 30 + 2)  # tiles of 28 with 2 between and around
    width, height = Image.open(written(labelled, "count=40", f"output={tmp_path}")).size
    assert width * (10 * 30 + 2) == height * (4 * 30 + 2)


def test_without_classes_there_are_no_labels(unlabelled: Path, tmp_path: Path) -> None:
    path = written(unlabelled, "format=npz", "count=4", f"output={tmp_path}")
    assert set(np.load(path)) == {"samples"}
    width, height = Image.open(written(unlabelled, "count=9", f"output={tmp_path}")).size
    assert width == height


@pytest.mark.parametrize(
    ("model", "overrides", "words"),
    [
        ("unlabelled", "classes=[3]", r"classes=\[3\] cannot be asked of this model, whose prior draws no classes"),
        ("unlabelled", "truncation=0.5", "truncation=0.5 is for Gaussian noise, which this model is not fed"),
        ("labelled", "classes=[3,12]", r"classes=\[3, 12\] asks for \[12\], .*choose from 0 to 9"),
        ("labelled", "classes=3", r"classes must be a list of whole numbers, such as classes=\[0\], not 3"),
        ("labelled", "classes=[-1]", "at least 0, not -1"),
        ("labelled", "classes=[1,2,3] count=2", "count=2 is fewer than the 3 classes"),
        ("labelled", "truncation=0", "truncation must be above 0"),
        ("labelled", "truncation=little", "truncation must be a finite number, not 'little'"),
    ],
)
def test_what_a_model_cannot_do_is_one_sentence(
    model: str, overrides: str, words: str, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(UserError, match=words) as told:
        written(request.getfixturevalue(model), *overrides.split())
    assert len(told.value.problems) == 1


@pytest.mark.parametrize("limit", [0.3, 1.0, 3.0])
def test_truncated_noise_follows_its_law(limit: float) -> None:
    z = TruncatedGaussian(2, limit).sample(4000, rng()).z
    assert z.abs().max() <= limit
    for column in z.T:
        assert stats.kstest(column.numpy(), stats.truncnorm(-limit, limit).cdf).pvalue > 1e-3
    assert torch.equal(z, TruncatedGaussian(2, limit).sample(4000, rng()).z)


@pytest.mark.parametrize("source", [Gaussian(3), Labelled(3, Gaussian(3), num_classes=4)])
def test_truncation_reaches_the_noise_of_the_prior_and_nothing_else(source: Prior) -> None:
    gan: Any = tiny_gan()
    gan.prior = source
    before = generated(gan, 50)
    truncate(gan, 0.1)
    latent = gan.draw(500, "samples")
    assert latent.z.abs().max() <= 0.1
    after = generated(gan, 50)
    assert math.prod(after.images.std(0).tolist()) < 0.1 * math.prod(before.images.std(0).tolist())
    assert (latent.labels is None) == isinstance(source, Gaussian)


def test_noise_that_is_not_gaussian_is_not_truncated() -> None:
    gan = tiny_gan()
    gan.prior = Labelled(3, Uniform(3), num_classes=4)
    with pytest.raises(ValueError, match="Gaussian noise"):
        truncate(gan, 0.5)


def test_a_truncated_grid_is_named_so(labelled: Path, tmp_path: Path) -> None:
    path = written(labelled, "truncation=0.5", "count=10", f"output={tmp_path}")
    assert path.name == "last_seed0_10_truncation0.5.png" and path.is_file()
