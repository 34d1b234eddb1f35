"""Layers and checks that several architectures share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import activation as activations
from torch.nn.utils.parametrize import is_parametrized

from gan_lightning.utils.checks import check_int
from gan_lightning.utils.image_sizes import choose_size, count_halvings, describe_sizes, nearest_sizes


class Maxout(nn.Module):
    """The largest of each group of `pieces` neighbouring values (Goodfellow et al. 2013).

    After a linear layer it is a learned convex activation. That layer must be `pieces` times as wide as the result.

    Args:
        pieces: linear functions to choose from.
    """

    def __init__(self, pieces: int = 5) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, values: Tensor) -> Tensor:
        """Map (batch, pieces * width) to (batch, width)."""
        return values.unflatten(1, (-1, self.pieces)).amax(dim=2)


def dense(inputs: int, outputs: int, activation: str, batch_norm: bool = False) -> nn.Sequential:
    """Return a hidden layer: linear, optional batch norm, activation; (batch, inputs) to (batch, outputs).

    Args:
        inputs: width of the layer before.
        outputs: width of this one.
        activation: `Maxout`, or the name of an activation in `torch.nn` that needs no arguments, such as `LeakyReLU`.
        batch_norm: normalise before the activation. The linear part then has no bias, which the norm would cancel.

    Raises:
        ValueError: there is no such activation.
    """
    function = make_activation(activation)
    width = outputs * getattr(function, "pieces", 1)
    norm = [nn.BatchNorm1d(width)] if batch_norm else []
    return nn.Sequential(nn.Linear(inputs, width, bias=not batch_norm), *norm, function)


def make_activation(name: str) -> nn.Module:
    """Return the activation called `name`: `Maxout`, or a class of `torch.nn` that needs no arguments.

    Raises:
        ValueError: there is none, or it cannot be made without arguments.
    """
    known = {"Maxout": Maxout, **{name: getattr(activations, name) for name in activations.__all__}}
    try:
        return known[name]()
    except (KeyError, TypeError):
        raise ValueError(
            f"activation={name} of model.generator or model.discriminator is no activation of torch.nn that needs no "
            "arguments: choose ReLU, LeakyReLU, ELU, SiLU, Tanh or Maxout"
        ) from None


def make_norm(name: str, channels: int) -> nn.Module:
    """Return the normalisation of feature maps called `name`.

    Args:
        name: `batch`; `layer`, over all values of one sample with a scale and shift per channel; or `none`.
        channels: of the feature maps.

    Raises:
        ValueError: there is no such normalisation.
    """
    known = {"batch": nn.BatchNorm2d(channels), "layer": nn.GroupNorm(1, channels), "none": nn.Identity()}
    if name not in known:
        raise ValueError(f"model.discriminator.norm={name} is unknown: choose {', '.join(known)}")
    return known[name]


def smallest_maps(model: str, shape: Sequence[int]) -> tuple[tuple[int, int], int]:
    """Return height and width of the smallest maps of convolutional networks, and how often they are doubled.

    Doubled so often, they have the size of images of `shape`, (channels, height, width): 4x4 pixels and 3 doublings for
    32x32, 7x7 and 2 for 28x28, 6x12 and 3 for 48x96.

    Raises:
        ValueError: images have no channels, or a size that is not so reached.
    """
    channels, height, width = shape if len(shape) == 3 else (0, 0, 0)
    halvings = count_halvings(height, width)
    if channels < 1 or halvings is None:
        choose = f": choose {choose_size(nearest_sizes(height, width))}" if channels >= 1 else ""
        raise ValueError(f"model={model} makes images with {describe_sizes()}, not data.shape={list(shape)}{choose}")
    return (height >> halvings, width >> halvings), halvings


def check_width(width: int) -> None:
    """Check that there is at least one channel.

    Raises:
        ValueError: `width` is below 1.
    """
    check_int("width of model.generator and model.discriminator", width)


def initialise_orthogonal(module: nn.Module) -> None:
    """Set orthogonal weights (Saxe et al. 2014) and biases of 0, as BigGAN starts with (Brock et al. 2019).

    For ``network.apply(initialise_orthogonal)``, before spectral norm. A weight is a matrix whose rows are its first
    axis; the rows, or the columns if they are fewer, are orthonormal.

    Raises:
        ValueError: the weight is computed from another, as under spectral norm, so that what is set would be lost.
    """
    if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
        return
    if is_parametrized(module, "weight"):
        raise ValueError("initialise_orthogonal comes before spectral norm, which computes the weight from another")
    nn.init.orthogonal_(module.weight)
    if not isinstance(module, nn.Embedding) and module.bias is not None:
        nn.init.zeros_(module.bias)


class _GradientInLayout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        last = maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()
        ctx.layout = torch.channels_last if last else torch.contiguous_format
        return maps.view_as(maps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.contiguous(memory_format=ctx.layout)


def gradient_in_layout(maps: Tensor) -> Tensor:
    """Return the feature maps (batch, channels, height, width); their gradient takes their memory layout.

    For places where the layout changes, such as before a flattening. An activation whose input and gradient lie in
    memory in different orders takes ten times as long to differentiate.
    """
    result: Tensor = _GradientInLayout.apply(maps)
    return result


def flat(features: Tensor) -> Tensor:
    """Return features as one vector for each sample, maps laid out: a head on it knows what stands where."""
    return gradient_in_layout(features).flatten(start_dim=1)
