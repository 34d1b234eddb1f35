from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from gan_lightning.data.shapes import Factors, draw_factors, render
from gan_lightning.metrics.shapes import LEAST_OVERLAP, ShapeLabels, ShapeQuality, mutual_information, read_shapes


def drawn(count: int, seed: int = 0, size: int = 32, **fixed: Tensor) -> tuple[Tensor, Factors]:
    """Images as a data loader gives them, and their factors."""
    factors = draw_factors(count, torch.Generator().manual_seed(seed))._replace(**fixed)
    return render(factors, size).mul(255).round().div(127.5).sub(1), factors


@pytest.mark.parametrize(("size", "count"), [(32, 2000), (64, 400)])
def test_held_out_drawings_are_read_without_a_mistake(size: int, count: int):
    images, factors = drawn(count, seed=7, size=size)
    reading = read_shapes(images)
    assert torch.equal(reading.shape, factors.shape)
    assert (((reading.hue - factors.hue + 0.5) % 1 - 0.5).abs() < 0.002).all()
    for name, most in (("radius", 0.01), ("x", 0.008), ("y", 0.008), ("background", 0.003)):
        assert (getattr(reading, name) - getattr(factors, name)).abs().max() < most
    assert reading.overlap.min() > LEAST_OVERLAP


def test_noise_that_is_hardly_seen_leaves_shapes_readable_and_parts_of_shapes_are_not():
    images, factors = drawn(500)
    noisy = images + 0.1 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    reading = read_shapes(noisy.clamp(-1, 1))
    assert (reading.overlap >= LEAST_OVERLAP).float().mean() > 0.97
    assert torch.equal(reading.shape, factors.shape)
    right = (torch.arange(32) + 0.5) / 32 > factors.x[:, None]  # the right half of each shape is wiped away
    background = (factors.background * 2 - 1)[:, None, None, None]
    halves = torch.where(right[:, None, None, :], background, images)
    assert (read_shapes(halves).overlap < LEAST_OVERLAP).all()


def test_noise_blank_and_blurred_images_are_unreadable():
    noise = torch.rand(50, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert (read_shapes(noise).overlap < LEAST_OVERLAP).all()
    assert (read_shapes(torch.zeros(4, 3, 32, 32)).overlap < LEAST_OVERLAP).all()
    images, _ = drawn(200)
    assert (read_shapes(avg_pool2d(images, 7, 1, 3)).overlap < LEAST_OVERLAP).float().mean() > 0.9


def test_real_images_score_as_the_configuration_says():
    metric = ShapeQuality()
    metric.update(drawn(2000)[0], real=True)
    metric.update(drawn(2000, seed=1)[0], real=False)
    values = metric.compute()
    assert values["readable"] == 1
    assert values["shape_entropy"] > 0.99
    assert values["coverage"] == 1
    assert values["hue_distance"] < 0.08
    assert values["dependence"] < 0.01


def test_missing_shapes_and_bound_factors_are_seen():
    metric = ShapeQuality()
    metric.update(drawn(500)[0], real=True)
    only = torch.randint(2, (500,), generator=torch.Generator().manual_seed(0))
    metric.update(drawn(500, shape=only, hue=torch.where(only == 0, 0.0, 1 / 3))[0], real=False)
    values = metric.compute()
    assert values["shape_entropy"] == pytest.approx(0.5, abs=0.01)
    assert values["coverage"] == pytest.approx(2 / 20)
    assert values["dependence"] == pytest.approx(math.log(2), abs=0.02)
    assert values["hue_distance"] > 0.5


def test_mutual_information_of_known_tables():
    assert mutual_information(torch.eye(4) * 1000) == pytest.approx(math.log(4), abs=2e-3)
    assert mutual_information(torch.full((3, 5), 100)) == 0
    assert mutual_information(torch.zeros(2, 2)) == 0


def test_labels_that_name_shapes_are_right_and_codes_say_what_they_stand_for():
    images, factors = drawn(400)
    metric = ShapeLabels()
    metric.update(images, real=False, labels=factors.shape)
    values = metric.compute()
    assert values["shape_accuracy"] == 1
    assert values["shape_information"] == pytest.approx(math.log(4), abs=0.02)
    assert values["colour_information"] < 0.03

    by_size = ShapeLabels()
    by_size.update(images, real=False, labels=(factors.radius > 0.26).long())
    assert by_size.compute()["size_information"] == pytest.approx(math.log(2), abs=0.06)


def test_two_ranks_count_as_one():
    images, factors = drawn(60)
    whole, parts = ShapeQuality(), [ShapeQuality(), ShapeQuality()]
    whole.update(images, real=True)
    whole.update(images, real=False)
    for part, rows in zip(parts, (slice(0, 20), slice(20, None)), strict=True):
        part.update(images[rows], real=True)
        part.update(images[rows], real=False)
    for name in whole.metric_state:
        assert torch.equal(getattr(whole, name), getattr(parts[0], name) + getattr(parts[1], name))


def test_what_cannot_be_read_is_refused():
    with pytest.raises(ValueError, match="colour images"):
        ShapeQuality().update(torch.zeros(2, 1, 32, 32), real=True)
    with pytest.raises(ValueError, match="one label below 100"):
        ShapeLabels().update(torch.zeros(2, 3, 32, 32), real=False, labels=torch.tensor([0, 100]))
    with pytest.raises(ValueError, match="at least one fake"):
        ShapeQuality().compute()
