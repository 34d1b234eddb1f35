"""Spectral norm against the singular value decomposition, the batch norms against their definitions."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.nn.utils.parametrize import is_parametrized

from gan_lightning.ema import MovingAverage, frozen_copy
from gan_lightning.models.dcgan import DCGANDiscriminator
from gan_lightning.models.normalization import (
    REFERENCE_SIZE,
    ConditionalBatchNorm,
    VirtualBatchNorm,
    spectrally_normalised,
)

LAYERS: dict[str, Callable[[], nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding]] = {
    "linear": lambda: nn.Linear(7, 5),
    "convolution": lambda: nn.Conv2d(3, 5, 3),
    "transposed": lambda: nn.ConvTranspose2d(3, 5, 4),
    "embedding": lambda: nn.Embedding(6, 4),
}


def matrix(layer: nn.Module, weight: Tensor) -> Tensor:
    """One row an output; for an embedding one row an entry."""
    return (weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight).flatten(1)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_weight_is_divided_by_its_largest_singular_value(kind: str) -> None:
    torch.manual_seed(0)
    layer = LAYERS[kind]()
    before = layer.weight.detach().clone()
    spectrally_normalised(layer)
    for _ in range(500):
        weight = layer.weight
    sigma = torch.linalg.svdvals(matrix(layer, before))[0]
    torch.testing.assert_close(weight, before / sigma, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(torch.linalg.matrix_norm(matrix(layer, weight), 2).item(), 1.0, rtol=1e-4, atol=0)


def test_sigma_keeps_its_gradient() -> None:
    """d/dW of <A, W / sigma(W)>, with sigma by the decomposition and by the power method."""
    torch.manual_seed(0)
    layer, direction = spectrally_normalised(nn.Linear(7, 5, bias=False)), torch.randn(5, 7)
    (original,) = layer.parameters()
    for _ in range(1000):
        weight = layer.weight
    (found,) = torch.autograd.grad((weight * direction).sum(), original)
    exact = original / torch.linalg.svdvals(original)[0]
    (expected,) = torch.autograd.grad((exact * direction).sum(), original)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
    constant = direction / torch.linalg.svdvals(original)[0]  # what a detached sigma would give
    assert not torch.allclose(found, constant, rtol=1e-2)


def test_the_power_method_moves_in_training_mode_alone() -> None:
    layer = spectrally_normalised(nn.Linear(30, 20))
    for training in (True, False):
        before = [buffer.clone() for buffer in layer.buffers()]
        layer.train(training)(torch.randn(2, 30))
        assert len(before) == 2
        assert all(torch.equal(old, new) for old, new in zip(before, layer.buffers(), strict=True)) == (not training)


def test_two_passes_and_a_second_derivative() -> None:
    """As in a discriminator update: real and fake pass one after the other, then the squared gradient goes backward."""
    discriminator = DCGANDiscriminator((1, 28, 28), width=4, norm="none", spectral_norm=True)
    real, fake = torch.randn(3, 1, 28, 28, requires_grad=True), torch.randn(3, 1, 28, 28)
    score = discriminator(real).logits.sum() - discriminator(fake).logits.sum()
    (slope,) = torch.autograd.grad(score, real, create_graph=True)
    slope.square().sum().backward()
    assert all(weight.grad is not None for name, weight in discriminator.named_parameters() if "weight" in name)


def test_a_copy_has_vectors_of_its_own_and_an_average_follows() -> None:
    torch.manual_seed(0)
    layer = spectrally_normalised(nn.Linear(30, 20))
    other, average = deepcopy(layer), frozen_copy(layer)
    layer(torch.randn(2, 30))
    for copy in (other, average):
        assert all(not torch.equal(*pair) for pair in zip(copy.buffers(), layer.buffers(), strict=True))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(3)
    MovingAverage(average, layer).update(decay=0.0)
    assert torch.equal(average.weight, layer.eval().weight)


def test_every_kind_of_weight_is_found_and_norms_are_left_alone() -> None:
    network = spectrally_normalised(
        nn.Sequential(*(make() for make in LAYERS.values()), nn.BatchNorm2d(3), nn.GroupNorm(1, 3))
    )
    assert [is_parametrized(layer) for layer in network] == [True] * len(LAYERS) + [False, False]


def test_what_is_spared_keeps_its_weights() -> None:
    spared = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.Linear(3, 4)))
    network = spectrally_normalised(nn.Sequential(nn.Linear(3, 4), spared, nn.Embedding(3, 4)), spared=[spared])
    assert [is_parametrized(layer) for layer in network] == [True, False, True]
    assert not any(is_parametrized(layer) for layer in spared.modules())


def moved(channels: int, condition_dim: int) -> ConditionalBatchNorm:
    """A conditional batch norm that has learned something."""
    torch.manual_seed(0)
    norm = ConditionalBatchNorm(channels, condition_dim)
    nn.init.normal_(norm.gain.weight)
    nn.init.normal_(norm.bias.weight)
    return norm


def test_conditional_batch_norm_value_by_value() -> None:
    norm, maps, conditions = moved(3, 2), torch.randn(4, 3, 2, 5) * 3 + 1, torch.randn(4, 2)
    found = norm(maps, conditions)
    for channel in range(3):
        values = maps[:, channel].flatten().double()
        mean, deviation = values.mean(), (values.var(correction=0) + 1e-5).sqrt()
        for sample, condition in enumerate(conditions):
            gain = 1 + sum(norm.gain.weight[channel, entry] * condition[entry] for entry in range(2))
            bias = sum(norm.bias.weight[channel, entry] * condition[entry] for entry in range(2))
            expected = (maps[sample, channel] - mean) / deviation * gain + bias
            torch.testing.assert_close(found[sample, channel], expected.float(), rtol=1e-4, atol=1e-5)


def test_a_class_has_a_gain_from_1_and_a_bias_from_0_of_its_own() -> None:
    norm, maps, labels = ConditionalBatchNorm(3, 5), torch.randn(6, 3, 4, 4), torch.tensor([0, 4, 1, 1, 0, 4])
    classes = one_hot(labels, 5).float()
    plain = nn.functional.batch_norm(maps, None, None, training=True)
    torch.testing.assert_close(norm(maps, classes), plain)
    gains, biases = torch.rand(5, 3), torch.rand(5, 3)  # of each class
    with torch.no_grad():
        norm.gain.weight.copy_(gains.T - 1)
        norm.bias.weight.copy_(biases.T)
    expected = plain * gains[labels][..., None, None] + biases[labels][..., None, None]
    torch.testing.assert_close(norm(maps, classes), expected)


def test_in_evaluation_mode_running_statistics_take_the_place_of_the_batchs() -> None:
    norm, maps, conditions = moved(3, 2), torch.randn(8, 3, 4, 4) * 3 + 1, torch.randn(8, 2)
    norm(maps, conditions)
    mean, variance = 0.1 * maps.mean((0, 2, 3)), 0.9 + 0.1 * maps.var((0, 2, 3))  # momentum .1, from 0 and 1
    norm.eval()
    others = torch.randn(2, 3, 4, 4)
    plain = (others - mean.view(3, 1, 1)) / (variance.view(3, 1, 1) + 1e-5).sqrt()
    gain, bias = 1 + conditions[:2] @ norm.gain.weight.T, conditions[:2] @ norm.bias.weight.T
    for _ in range(2):  # nothing moves
        torch.testing.assert_close(norm(others, conditions[:2]), plain * gain[..., None, None] + bias[..., None, None])


def test_gain_and_bias_of_a_class_learn_from_its_samples_and_maps_from_all() -> None:
    norm, labels = moved(3, 5), torch.tensor([0, 3, 3])
    maps = torch.randn(3, 3, 4, 4, requires_grad=True)
    norm(maps, one_hot(labels, 5).float())[1:].pow(3).sum().backward()  # of the samples of class 3
    for weight in (norm.gain.weight, norm.bias.weight):
        assert weight.grad is not None
        assert [bool(column.any()) for column in weight.grad.T] == [False, False, False, True, False]
    assert maps.grad is not None
    assert all(sample.any() for sample in maps.grad)  # the batch is normalised as a whole


def test_conditional_batch_norm_in_half_precision_keeps_its_statistics_in_full() -> None:
    norm, maps, conditions = moved(3, 2), torch.randn(8, 3, 4, 4).bfloat16(), torch.randn(8, 2)
    expected = deepcopy(norm)(maps.float(), conditions)
    with torch.autocast("cpu", torch.bfloat16):
        found = norm(maps, conditions)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.03, atol=0.03)
    assert norm.norm.running_mean is not None
    assert norm.norm.running_mean.dtype == torch.float32
    torch.testing.assert_close(norm.norm.running_mean, 0.1 * maps.float().mean((0, 2, 3)), rtol=1e-3, atol=1e-5)


def test_virtual_batch_norm_is_batch_norm_of_the_reference_and_the_sample() -> None:
    torch.manual_seed(0)
    norm = VirtualBatchNorm(3)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    reference, samples = torch.randn(REFERENCE_SIZE, 3, 4, 4) * 2 + 1, torch.randn(5, 3, 4, 4)
    found = norm(torch.cat([reference, samples]))

    def batch_norm(batch: Tensor) -> Tensor:
        return nn.functional.batch_norm(batch, None, None, norm.weight, norm.bias, training=True)

    torch.testing.assert_close(found[:REFERENCE_SIZE], batch_norm(reference), rtol=1e-4, atol=1e-5)
    for sample, row in zip(samples, found[REFERENCE_SIZE:], strict=True):
        expected = batch_norm(torch.cat([reference, sample[None]]))[-1]
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-5)
