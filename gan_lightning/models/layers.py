"""Layers that several networks are built from."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules import activation as activations


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
        """(batch, pieces * width) to (batch, width)."""
        return values.unflatten(1, (-1, self.pieces)).amax(dim=2)


def dense(inputs: int, outputs: int, activation: str, batch_norm: bool = False) -> nn.Sequential:
    """A hidden layer: linear, batch norm if asked for, activation; (batch, inputs) to (batch, outputs).

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
    """The activation called `name`: `Maxout`, or a class of `torch.nn` that needs no arguments.

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
    """The normalisation of feature maps called `name`.

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
