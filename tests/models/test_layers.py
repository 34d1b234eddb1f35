"""Layers, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gan_lightning.models.layers import (
    Maxout,
    dense,
    gradient_in_layout,
    initialise_orthogonal,
    make_activation,
    make_norm,
)
from gan_lightning.models.normalization import spectrally_normalised


def test_maxout_by_hand() -> None:
    values = torch.tensor([[1.0, 5.0, -2.0, -3.0], [0.0, -1.0, 7.0, 8.0]])
    assert Maxout(pieces=2)(values).tolist() == [[5.0, -2.0], [0.0, 8.0]]


def test_a_dense_layer_has_its_width_with_every_activation() -> None:
    for activation in ("ReLU", "Maxout"):
        for batch_norm in (True, False):
            layer = dense(3, 4, activation, batch_norm)
            assert layer(torch.randn(6, 3)).shape == (6, 4)
            assert (layer[0].bias is None) == batch_norm


@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU", "ELU", "SiLU", "Tanh"])
def test_activations_are_torchs(name: str) -> None:
    assert type(make_activation(name)) is getattr(nn, name)


@pytest.mark.parametrize("name", ["Linear", "relu", "Threshold", "annotations"])
def test_other_names_are_no_activation(name: str) -> None:
    with pytest.raises(ValueError, match=f"activation={name} .* choose ReLU, LeakyReLU, ELU, SiLU, Tanh or Maxout"):
        make_activation(name)


def test_layer_norm_is_over_all_values_of_a_sample() -> None:
    maps = torch.randn(3, 4, 5, 5) * torch.tensor([1.0, 10.0, 100.0, 0.1]).view(1, 4, 1, 1)
    torch.testing.assert_close(make_norm("layer", 4)(maps), nn.functional.layer_norm(maps, (4, 5, 5)))


@pytest.mark.parametrize(
    "layer", [nn.Linear(3, 7), nn.Conv2d(5, 3, 3), nn.ConvTranspose2d(4, 3, 4), nn.Embedding(9, 4)], ids=repr
)
def test_orthogonal_rows_or_columns(layer: nn.Module) -> None:
    initialise_orthogonal(layer)
    assert isinstance(layer.weight, nn.Parameter)
    matrix = layer.weight.detach().flatten(1)
    matrix = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix)), rtol=0, atol=1e-5)
    assert all(not bias.any() for name, bias in layer.named_parameters() if name == "bias")


def test_norms_keep_their_start() -> None:
    norm = nn.BatchNorm2d(4)
    nn.Sequential(nn.Conv2d(2, 4, 3), norm).apply(initialise_orthogonal)
    assert torch.equal(norm.weight, torch.ones(4))


def test_orthogonal_weights_under_spectral_norm_would_be_lost() -> None:
    with pytest.raises(ValueError, match="initialise_orthogonal comes before spectral norm"):
        spectrally_normalised(nn.Linear(3, 4)).apply(initialise_orthogonal)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_a_gradient_comes_back_in_the_layout_of_its_maps(layout: torch.memory_format) -> None:
    maps = torch.randn(2, 3, 4, 4, dtype=torch.double).to(memory_format=layout).requires_grad_()
    result = gradient_in_layout(maps)
    assert torch.equal(result, maps)
    other = torch.contiguous_format if layout == torch.channels_last else torch.channels_last
    weight = torch.randn(2, 3, 4, 4, dtype=torch.double).contiguous(memory_format=other)
    result.backward(weight)
    assert maps.grad is not None
    assert torch.equal(maps.grad, weight)
    assert maps.grad.is_contiguous(memory_format=layout)
    assert torch.autograd.gradgradcheck(
        lambda x: gradient_in_layout(x).pow(3).flatten(1).sum(1), [maps.detach().requires_grad_()]
    )
