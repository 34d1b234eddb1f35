"""Layers, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gan_lightning.models.layers import Maxout, dense, make_activation, make_norm


def test_maxout_by_hand() -> None:
    values = torch.tensor([[1.0, 5.0, -2.0, -3.0], [0.0, -1.0, 7.0, 8.0]])
    assert Maxout(pieces=2)(values).tolist() == [[5.0, -2.0], [0.0, 8.0]]


def test_a_dense_layer_is_as_wide_as_asked_whatever_the_activation() -> None:
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


def test_layer_norm_takes_each_sample_by_itself() -> None:
    maps = torch.randn(3, 4, 5, 5) * torch.tensor([1.0, 10.0, 100.0]).view(3, 1, 1, 1)
    normalised = make_norm("layer", 4)(maps).flatten(1)
    torch.testing.assert_close(normalised.mean(dim=1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(normalised.var(dim=1, unbiased=False), torch.ones(3), atol=1e-4, rtol=0)
