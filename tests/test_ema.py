from __future__ import annotations

import pytest
import torch
from torch import nn

from gan_lightning.ema import Averaging, MovingAverage, frozen_copy


def test_half_life_halves_the_weight_of_the_old():
    assert Averaging(1000, ramp_up=None).decay(images=10**6, step_images=1000) == pytest.approx(0.5)
    assert Averaging(1000, ramp_up=None).decay(images=10**6, step_images=500) ** 2 == pytest.approx(0.5)


def test_ramp_up_shortens_the_half_life_early_and_not_later():
    averaging = Averaging(1000, ramp_up=0.05)
    assert averaging.decay(images=2000, step_images=100) == pytest.approx(0.5)  # .05 * 2000 = 100 images
    assert averaging.decay(images=20_000, step_images=1000) == pytest.approx(0.5)
    assert averaging.decay(images=10**9, step_images=1000) == pytest.approx(0.5)


def test_zero_half_life_is_a_copy():
    assert Averaging(0).decay(images=100, step_images=10) == 0.0


def test_average_is_the_weighted_sum_and_buffers_are_copied():
    torch.manual_seed(0)
    linear, norm = nn.Linear(3, 2), nn.BatchNorm1d(2)
    average = frozen_copy(nn.ModuleList([linear, norm]))
    kept_linear, kept_norm = frozen_copy(linear), frozen_copy(norm)
    with torch.no_grad():
        linear.weight.add_(1.0)
    norm.running_mean = torch.full((2,), 7.0)
    norm.num_batches_tracked = torch.tensor(3)
    MovingAverage(average, nn.ModuleList([linear, norm])).update(decay=0.9)
    weight, _, scale, _ = average.parameters()
    torch.testing.assert_close(weight, 0.9 * kept_linear.weight + 0.1 * linear.weight)
    torch.testing.assert_close(scale, kept_norm.weight)
    mean, _, count = average.buffers()
    assert mean.tolist() == [7.0, 7.0]
    assert count == 3


def test_the_copy_takes_no_gradient_and_stands_in_evaluation_mode():
    network = nn.Linear(2, 1)
    average = frozen_copy(network)
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert not average.training
    assert network.weight.requires_grad
    assert network.training
    assert average.weight.data_ptr() != network.weight.data_ptr()


@pytest.mark.parametrize(("half_life", "ramp_up", "key"), [(-1, 0.05, "half_life_images"), (10, 0.0, "ramp_up")])
def test_bad_settings_are_refused_by_name(half_life: float, ramp_up: float, key: str):
    with pytest.raises(ValueError, match=f"ema.{key}"):
        Averaging(half_life, ramp_up)
