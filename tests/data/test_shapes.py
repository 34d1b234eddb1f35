from __future__ import annotations

import colorsys
import math
from typing import Any

import pytest
import torch
from hydra.utils import instantiate

from gan_lightning.data.shapes import AREAS, HUES, SHAPES, Factors, Shapes, coverage, draw_factors, hue_to_rgb, render
from gan_lightning.data.shapes import rgb_to_hue as to_hue

FACTS: dict[str, Any] = {
    "shape": [3, 32, 32],
    "num_classes": 4,
    "value_range": [-1, 1],
    "batch_size": 4,
    "seed": 0,
    "image_size": 32,
}


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_a_shape_covers_its_area(shape: int):
    factors = torch.tensor([shape]), torch.tensor([0.3]), torch.tensor([0.5]), torch.tensor([0.45])
    covered = coverage(*factors, 256).mean().item()
    assert covered == pytest.approx(AREAS[shape] * 0.3**2, rel=0.01)


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_a_shape_reaches_its_circle_and_not_beyond(shape: int):
    size, radius = 200, 0.3
    covered = coverage(torch.tensor([shape]), torch.tensor([radius]), torch.tensor([0.5]), torch.tensor([0.5]), size)[0]
    rows, columns = (covered > 0.5).nonzero(as_tuple=True)
    reach = ((rows + 0.5 - size / 2).square() + (columns + 0.5 - size / 2).square()).sqrt().max().item() / size
    assert radius - 2 / size < reach < radius + 1 / size


def test_colours_are_those_of_the_standard_library():
    hues = torch.linspace(0, 0.99, 34)
    expected = torch.tensor([colorsys.hsv_to_rgb(hue, 1, 1) for hue in hues.tolist()])
    torch.testing.assert_close(hue_to_rgb(hues), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(to_hue(expected), hues, atol=1e-5, rtol=0)
    greyish = torch.rand(50, 3, generator=torch.Generator().manual_seed(0))
    expected = torch.tensor([colorsys.rgb_to_hsv(*colour)[0] for colour in greyish.tolist()])
    torch.testing.assert_close(to_hue(greyish), expected, atol=1e-4, rtol=0)


def test_the_background_is_grey_and_the_centre_has_the_hue():
    factors = Factors(*(torch.tensor([value]) for value in (0, 1 / 3, 0.3, 0.5, 0.5, 0.2)))
    image = render(factors, 32)[0]
    assert image[:, 0, 0].tolist() == pytest.approx([0.2] * 3)
    assert image[:, 16, 16].tolist() == pytest.approx([0, 1, 0], abs=1e-5)


def test_factors_are_independent_and_lie_in_the_image():
    factors = draw_factors(20000, torch.Generator().manual_seed(0))
    for name in ("x", "y"):
        assert (getattr(factors, name) - factors.radius >= 0).all()
        assert (getattr(factors, name) + factors.radius <= 1).all()
    numbers = torch.stack([value.double() for value in factors])
    correlations = torch.corrcoef(numbers) - torch.eye(len(factors))
    assert correlations.abs().max() < 4 / math.sqrt(20000)
    assert torch.bincount(factors.shape).min() > 4700
    nearest = (factors.hue[:, None] - torch.tensor(list(HUES.values()))).abs()
    assert torch.minimum(nearest, 1 - nearest).min(1).values.max() <= 0.021


def test_the_data_are_the_same_for_every_seed_and_the_splits_differ():
    data, other = (Shapes(train_size=50, test_size=20, **{**FACTS, "seed": seed}) for seed in (0, 5))
    train = data.read(train=True)
    assert torch.equal(train.pixels, other.read(train=True).pixels)
    assert train.pixels.shape == (50, 3, 32, 32)
    assert train.labels is not None
    assert set(train.labels.tolist()) == set(range(4))
    assert not torch.equal(train.pixels[:20], data.read(train=False).pixels)


def test_classes_are_named(settings):
    assert tuple(settings("shapes")["class_names"]) == SHAPES
    assert instantiate(settings("shapes", train_size=8)).class_names == SHAPES
    assert instantiate(settings("shapes", train_size=8, clusters=2)).class_names is None
