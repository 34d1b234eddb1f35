from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from gan_lightning.data.image_data import ImageData, Images
from gan_lightning.data.toys import gaussian
from gan_lightning.metrics.memorization import Memorization, nearest_distances

FACTS: dict[str, Any] = {"shape": [1, 4, 4], "num_classes": None, "value_range": [-1, 1], "batch_size": 4, "seed": 0}


def images(count: int, seed: int) -> Tensor:
    """Random images, uint8, of few grey levels apart."""
    return torch.randint(256, (count, 1, 4, 4), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


class Noise(ImageData):
    """200 images to train on and 100 held out, of one distribution."""

    def __init__(self) -> None:
        super().__init__(**FACTS)

    def read(self, train: bool) -> Images:
        return Images(images(200, 0) if train else images(100, 1), None)


def measured(fakes: Tensor) -> dict[str, float]:
    metric = Memorization()
    metric.prepare(Noise())
    metric.update(fakes.float() / 127.5 - 1, real=False)
    return metric.compute()


def test_distances_are_those_of_a_tree():
    samples, others = torch.randn(300, 7), torch.randn(2500, 7)
    expected, _ = cKDTree(others.double().numpy()).query(samples.double().numpy())
    torch.testing.assert_close(
        nearest_distances(samples, others), torch.from_numpy(expected).float(), rtol=1e-5, atol=1e-5
    )


def test_copies_are_at_no_distance():
    values = measured(images(200, 0))
    assert values["train_distance"] == pytest.approx(0, abs=1e-3)
    assert values["memorization"] > 2


def test_new_images_of_the_distribution_keep_their_distance():
    values = measured(images(400, 2))
    assert values["train_distance"] == pytest.approx(1, abs=0.03)
    assert values["memorization"] == pytest.approx(1, abs=0.03)


def test_held_out_images_lean_on_the_other_side():
    values = measured(images(100, 1))
    assert values["train_distance"] == pytest.approx(1)
    assert values["memorization"] < 0.5


def test_batches_and_ranks_add_up():
    fakes = images(30, 3).float() / 127.5 - 1
    metric = Memorization()
    metric.prepare(Noise())
    for part in fakes.split(7):
        metric.update(part, real=False)
    assert metric.compute() == measured(images(30, 3))
    metric.reset()
    with pytest.raises(ValueError, match="at least one fake"):
        metric.compute()


def test_data_without_images_are_refused():
    data = gaussian(mean=0.0, std=1.0, shape=[1], num_classes=None, value_range=None, batch_size=4, seed=0)
    with pytest.raises(ValueError, match="metrics=memorization compares images"):
        Memorization().prepare(data)
