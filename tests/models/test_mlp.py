"""Multilayer perceptrons: their layers, counted by hand, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gan_lightning.game import Latent
from gan_lightning.models.mlp import MLPDiscriminator, MLPGenerator


def weights(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_the_ring_networks_of_pacgan() -> None:
    """Generator 2-400-400-400-400-2 with batch norm and ReLU, discriminator 2-200-200-200-1 with maxout of 5 pieces."""
    generator = MLPGenerator(2, (2,), None, width=400, depth=4, batch_norm=True)
    discriminator = MLPDiscriminator((2,), width=200, depth=3, activation="Maxout")
    assert weights(generator) == 2 * 400 + 3 * 400 * 400 + 4 * 2 * 400 + (400 * 2 + 2)
    assert weights(discriminator) == 5 * ((2 * 200 + 200) + 2 * (200 * 200 + 200)) + (200 + 1)


def test_the_networks_of_the_one_dimensional_toy() -> None:
    assert weights(MLPGenerator(1, (1,), None, width=11, depth=1)) == (11 + 11) + (11 + 1)
    assert weights(MLPDiscriminator((1,), width=11, depth=2)) == (11 + 11) + (11 * 11 + 11) + (11 + 1)


def test_a_hidden_layer_is_linear_then_activation() -> None:
    discriminator = MLPDiscriminator((2,), width=3, depth=1, activation="ELU")
    weight, bias = list(discriminator.hidden.parameters())
    x = torch.randn(5, 2)
    features = torch.where((h := x @ weight.T + bias) > 0, h, h.exp() - 1)
    output = discriminator(x)
    torch.testing.assert_close(output.features, features)
    torch.testing.assert_close(output.logits, features @ discriminator.score.weight[0] + discriminator.score.bias)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: MLPGenerator(2, (2,), None, depth=0),
            "depth of model.generator .* .*whole number of at least 1, not 0",
        ),
        (
            lambda: MLPDiscriminator((2,), width=0),
            "width of model.generator .* .*whole number of at least 1, not 0",
        ),
        (lambda: MLPGenerator(2, (2,), [0, 1]), r"model\.generator\.value_range must be \[-1, 1\] \(tanh\) or null"),
        (lambda: MLPGenerator(2, (2,), None, activation="relu"), "activation=relu .* choose ReLU, LeakyReLU"),
        (lambda: MLPDiscriminator((2,), input_std=0), r"model\.discriminator\.input_std must be .*not 0"),
        (lambda: MLPGenerator(2, (2,), None, latent_std=-1.0), r"model\.generator\.latent_std must be .*not -1"),
        (lambda: MLPDiscriminator((2,), activation="MultiheadAttention"), "activation=MultiheadAttention .* choose"),
    ],
)
def test_what_cannot_be_built_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_weights_start_from_the_normal_distribution_that_is_given() -> None:
    """The authors' N(0, .02) of the ring: 400 x 400 weights and a discriminator of 5 pieces."""
    torch.manual_seed(0)
    for network in (
        MLPGenerator(2, (2,), None, width=400, depth=4, batch_norm=True, init_std=0.02),
        MLPDiscriminator((2,), width=200, depth=3, activation="Maxout", init_std=0.02),
    ):
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
        values = torch.cat([layer.weight.detach().flatten() for layer in layers])
        assert values.std().item() == pytest.approx(0.02, rel=0.01)
        assert (values / 0.02).pow(4).mean().item() == pytest.approx(3, rel=0.05)  # the normal's kurtosis
        assert all(layer.bias is None or not layer.bias.any() for layer in layers)


def test_first_layers_read_standardised_numbers() -> None:
    """On standardised input, the same weights without the layer give the same output; it has no weights of its own."""
    x = 3 + 0.2 * torch.randn(5, 1)
    plain, standardised = MLPDiscriminator((1,), width=4), MLPDiscriminator((1,), width=4, input_mean=3, input_std=0.2)
    for ours, theirs in zip(standardised.parameters(), plain.parameters(), strict=True):
        ours.data.copy_(theirs.data)
    torch.testing.assert_close(standardised(x).logits, plain((x - 3) / 0.2).logits)
    maker, scaled = MLPGenerator(1, (1,), None, width=4), MLPGenerator(1, (1,), None, width=4, latent_std=8)
    for ours, theirs in zip(scaled.parameters(), maker.parameters(), strict=True):
        ours.data.copy_(theirs.data)
    torch.testing.assert_close(scaled(Latent(8 * x)), maker(Latent(x)))
