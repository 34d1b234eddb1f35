"""The cs231n networks against counts derived by hand from the assignment's text."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gan_lightning.game import Latent
from gan_lightning.models.cs231n import CS231nDiscriminator, CS231nGenerator


def test_the_number_of_weights_is_that_of_the_docstring() -> None:
    generator = [
        96 * 1024 + 1024,  # dense
        2 * 1024,  # norm
        1024 * 6272 + 6272,  # dense, 7 * 7 * 128
        2 * 6272,
        4 * 4 * 128 * 64 + 64,  # transposed convolutions
        2 * 64,
        4 * 4 * 64 * 1 + 1,
    ]
    discriminator = [5 * 5 * 1 * 32 + 32, 5 * 5 * 32 * 64 + 64, 1024 * 1024 + 1024, 1024 + 1]
    for network, counts in (
        (CS231nGenerator(96, (1, 28, 28)), generator),
        (CS231nDiscriminator((1, 28, 28)), discriminator),
    ):
        assert sum(weight.numel() for weight in network.parameters()) == sum(counts)
    assert (sum(generator), sum(discriminator)) == (6_675_009, 1_102_721)


def test_initial_weights_are_xaviers() -> None:
    torch.manual_seed(0)
    networks = nn.ModuleList([CS231nGenerator(96, (1, 28, 28)), CS231nDiscriminator((1, 28, 28))])
    seen = 0
    for module in networks.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            field = module.weight[0, 0].numel()
            bound = (6 / ((module.weight.shape[0] + module.weight.shape[1]) * field)) ** 0.5
            assert module.weight.abs().max() <= bound
            assert module.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.15)
            assert module.bias is not None
            assert not module.bias.any()
            seen += 1
    assert seen == 8


def test_the_generator_layer_by_layer() -> None:
    generator, z = CS231nGenerator(96, (1, 28, 28)), torch.rand(4, 96) * 2 - 1
    a, b, _, _, c, d, _, _, e, f, _, _, g, h = generator.parameters()
    x = F.batch_norm(F.linear(z, a, b).relu(), None, None, training=True)
    x = F.batch_norm(F.linear(x, c, d).relu(), None, None, training=True).reshape(4, 128, 7, 7)
    x = F.batch_norm(F.conv_transpose2d(x, e, f, stride=2, padding=1).relu(), None, None, training=True)
    torch.testing.assert_close(generator(Latent(z)), F.conv_transpose2d(x, g, h, stride=2, padding=1).tanh())


def test_the_discriminator_layer_by_layer() -> None:
    discriminator, images = CS231nDiscriminator((1, 28, 28)), torch.rand(4, 1, 28, 28) * 2 - 1
    a, b, c, d, e, f, g, h = discriminator.parameters()
    x = F.max_pool2d(F.leaky_relu(F.conv2d(images, a, b), 0.01), 2)
    x = F.max_pool2d(F.leaky_relu(F.conv2d(x, c, d), 0.01), 2)
    features = F.leaky_relu(F.linear(x.reshape(4, 1024), e, f), 0.01)
    output = discriminator(images)
    torch.testing.assert_close(output.features, features)
    torch.testing.assert_close(output.logits, F.linear(features, g, h).squeeze(1))


@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 32, 32), (784,)])
@pytest.mark.parametrize("make", [lambda shape: CS231nGenerator(96, shape), CS231nDiscriminator])
def test_other_shapes_are_refused(make, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="model=cs231n makes images of 28x28 pixels with 1 channel") as error:
        make(shape)
    assert str(error.value).endswith(f"not data.shape={list(shape)}")
