"""Ways between samples: along the sphere or the line, ending at the samples themselves; and InfoGAN's codes by row."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.sampled_runs import SMALL, run, sampled, written
from PIL import Image, ImageSequence

from gan_lightning.data.pixels import to_uint8
from gan_lightning.priors import ClassConditional, Gaussian, Prior, TruncatedGaussian, Uniform
from gan_lightning.randomness import generator_for
from gan_lightning.sampling.interpolation import closed_path
from gan_lightning.variants.infogan import InfoGANPrior

PRIORS: list[Prior] = [
    Gaussian(50),
    TruncatedGaussian(50, 1.0),
    Uniform(50),
    Gaussian(1),
    ClassConditional(53, Gaussian(50), num_classes=3),
    ClassConditional(50, Uniform(50), num_classes=3),
    InfoGANPrior(56, Gaussian(50), categories=4, continuous=2),
]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("labelled"), *SMALL, "prior=labelled_onehot", "prior.noise.dim=5")


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    small = (*SMALL, "variant=infogan", "model.discriminator.width=4", "prior.noise.dim=3", "prior.categories=4")
    return run(tmp_path_factory.mktemp("coded"), *small)


def rng() -> torch.Generator:
    return generator_for(0, "samples")


@pytest.mark.parametrize("prior", PRIORS, ids=lambda prior: f"{type(prior).__name__}{prior.dim}")
def test_a_row_begins_at_its_key_and_ends_at_the_next_exactly(prior: Prior) -> None:
    keys, steps = prior.sample(5, rng()), 4
    labels = keys.labels
    if isinstance(prior, ClassConditional):
        labels = torch.tensor([1, 1, 2, 2, 1])
        keys = prior.from_classes(prior.noise(5, rng()), labels)
    way = closed_path(prior, keys, steps)
    rows = way.z.unflatten(0, (5, steps + 1))
    assert torch.equal(rows[:, 0], keys.z)
    noise = slice(0, 50 if prior.dim > 1 else 1)
    assert torch.equal(rows[:, -1, noise], keys.z.roll(-1, 0)[:, noise])
    if labels is None:
        assert way.labels is None
        return
    assert way.labels is not None and torch.equal(way.labels, labels.repeat_interleave(steps + 1))
    alike = labels == labels.roll(-1)
    assert alike.any() and torch.equal(rows[alike, -1], keys.z.roll(-1, 0)[alike])
    kinds = {53: slice(50, 53), 56: slice(50, 54)}.get(prior.dim)
    if kinds is not None:  # one class throughout a row, never a mixture
        assert torch.equal(rows[..., kinds].argmax(-1), labels[:, None].expand(-1, steps + 1))
        assert (rows[..., kinds].sum(-1) == 1).all() and rows[..., kinds].unique().tolist() == [0, 1]


@pytest.mark.parametrize(
    "source", [TruncatedGaussian(2, 0.5), ClassConditional(5, TruncatedGaussian(2, 0.5), num_classes=3)]
)
def test_the_way_between_truncated_samples_stays_within_the_truncation(source: Prior) -> None:
    """The arc from (t, t) to (t, -t), at right angles, reaches (1.41 t, 0)."""
    keys = source.sample(2, rng())
    keys.z[:, :2] = torch.tensor([[0.5, 0.5], [0.5, -0.5]])
    noise = closed_path(source, keys, 4).z[:5, :2]
    angles = torch.linspace(1, -1, 5)[:, None] * math.pi / 4
    on_arc = math.sqrt(0.5) * torch.cat([angles.cos(), angles.sin()], dim=1)
    assert on_arc[2, 0] > 0.7
    torch.testing.assert_close(noise[:, 0], torch.full((5,), 0.5))
    torch.testing.assert_close(noise[:, 1], on_arc[:, 1])
    assert noise.abs().max() <= 0.5


def test_other_noise_and_codes_move_on_a_line() -> None:
    uniform = Uniform(6)
    keys = uniform.sample(2, rng())
    torch.testing.assert_close(closed_path(uniform, keys, 2).z[1], keys.z.mean(0))
    coded = InfoGANPrior(6, Uniform(2), categories=3, continuous=1)
    keys = coded.from_codes(torch.rand(2, 2), torch.tensor([1, 1]), torch.tensor([[-1.0], [0.5]]))
    torch.testing.assert_close(closed_path(coded, keys, 2).z[1], keys.z.mean(0))


def test_an_interpolation_is_an_animation_and_a_picture(labelled: Path, tmp_path: Path) -> None:
    overrides = ("interpolate=4", "count=3", "classes=[7]", f"output={tmp_path}")
    animation, picture = sampled(labelled, *overrides)
    assert picture.name == "last_iteration1_seed0_interpolate4_3_classes_7.png"
    assert animation == picture.with_suffix(".gif")
    with Image.open(animation) as gif:
        assert gif.info["loop"] == 0
        assert 1 < len(list(ImageSequence.Iterator(gif))) <= 12  # equal frames in a row are one
    width, height = Image.open(picture).size
    assert width * (3 * 30 + 2) == height * (5 * 30 + 2)
    arrays = np.load(written(labelled, *overrides, "format=npz"))
    keys = np.load(written(labelled, "format=npz", "count=3", "classes=[7]", f"output={tmp_path}"))["samples"]
    rows = arrays["samples"]
    assert rows.shape == (3, 5, 28, 28, 1) and arrays["labels"].tolist() == [7, 7, 7]
    assert (rows[:, 0] == keys).all() and (rows[:, -1] == np.roll(keys, -1, axis=0)).all()
    assert (rows[:, 2] != keys).any()
    cell = np.asarray(Image.open(picture).convert("L"))[:: width // 152, :: width // 152]
    assert (cell[32:60, 2:30] == rows[1, 0, ..., 0]).all()  # the second row begins with the second key
    again = sampled(labelled, *overrides)
    assert [path.name for path in again] == [f"{picture.stem}_2.gif", f"{picture.stem}_2.png"], "numbered as one"
    assert len(list(tmp_path.iterdir())) == 6


def test_a_traversal_is_a_picture_with_a_row_for_each_code(coded: Path, tmp_path: Path) -> None:
    path = written(coded, "traverse=true", "count=6", f"output={tmp_path}")
    assert path.name == "last_iteration1_seed0_traverse_6.png"
    picture = np.asarray(Image.open(path).convert("L"))
    factor = picture.shape[1] // (6 * 30 + 2)
    assert picture.shape == ((3 * 30 + 2) * factor, (6 * 30 + 2) * factor)
    small = picture[::factor, ::factor]
    assert (small[2:30, 4 * 30 :] == 128).all() and small[2:30, 2 : 4 * 30].std() > 0
    assert to_uint8(torch.zeros(())).item() == 128
    with pytest.raises(Exception, match="truncation=1 is for Gaussian noise"):
        written(coded, "traverse=true", "truncation=1")


def test_an_interpolation_of_codes_can_be_written(coded: Path, tmp_path: Path) -> None:
    arrays = np.load(written(coded, "interpolate=2", "count=2", "format=npz", f"output={tmp_path}"))
    assert arrays["samples"].shape == (2, 3, 28, 28, 1) and arrays["labels"].shape == (2,)
