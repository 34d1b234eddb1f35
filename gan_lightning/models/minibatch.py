"""Minibatch statistics for a discriminator, which penalise fakes that are all alike.

Real and fake pass through the discriminator in batches of their own, so that a statistic is of one kind of samples. As
with batch norm, it covers the samples of one forward pass: a device's part of the batch, or a micro-batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MinibatchStd(nn.Module):
    """Appends a channel with the standard deviation over a group of samples (Karras et al. 2018, section 3).

    The standard deviation of each value over a group, averaged to one number for the group. Groups are as in their
    code: with n of them, samples i, i + n, i + 2n, ... make one.

    Args:
        group_size: samples in a group, at least 2. A batch that it does not divide takes the next larger size that
            does; a smaller batch is one group.

    Raises:
        ValueError: fewer than two samples in a group, which cannot differ.
    """

    def __init__(self, group_size: int = 4) -> None:
        super().__init__()
        if group_size < 2:
            raise ValueError(f"group_size must be at least 2 samples, not {group_size}")
        self.group_size = group_size

    def forward(self, maps: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to (batch, channels + 1, height, width)."""
        batch, _, height, width = maps.shape
        least = min(self.group_size, batch)
        size = next(size for size in range(least, batch + 1) if batch % size == 0)
        groups = maps.float().unflatten(0, (size, batch // size))
        variance = groups.var(0, correction=0)
        deviation = (variance + 1e-8).sqrt().mean((1, 2, 3))  # the derivative of sqrt(0) is infinite
        channel = deviation.repeat(size).view(-1, 1, 1, 1).expand(-1, 1, height, width)
        return torch.cat([maps, channel.to(maps.dtype)], dim=1)


class MinibatchDiscrimination(nn.Module):
    """Appends features of how close a sample is to the others of its batch (Salimans et al. 2016, section 3.2).

    M = f(x) T gives each sample `kernels` rows of `dims` numbers; o_i = sum over j != i of exp(-||M_i - M_j||_1), row
    by row, is appended to f(x_i).

    Args:
        inputs: length of f(x).
        kernels: numbers that are appended, B of the paper.
        dims: length of a row, C of the paper.
    """

    def __init__(self, inputs: int, kernels: int = 50, dims: int = 5) -> None:
        super().__init__()
        self.kernels, self.dims = kernels, dims
        self.tensor = nn.Parameter(torch.randn(inputs, kernels * dims) * inputs**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, inputs) to (batch, inputs + kernels)."""
        rows = (features @ self.tensor).float().unflatten(1, (self.kernels, self.dims))
        distances = (rows[:, None] - rows[None]).abs().sum(3)  # not cdist, which has no second derivative
        others = 1 - torch.eye(len(rows), device=rows.device)
        closeness = ((-distances).exp() * others[:, :, None]).sum(1)
        return torch.cat([features, closeness.to(features.dtype)], dim=1)


def minibatch_layers(minibatch: str, channels: int, places: int) -> tuple[list[nn.Module], int]:
    """Return layers that flatten feature maps to one vector a sample, with a statistic of the batch appended.

    Args:
        minibatch: `none`; `std`, see `MinibatchStd`; or `discrimination`, see `MinibatchDiscrimination`.
        channels: of the feature maps.
        places: of the feature maps, height times width.

    Returns:
        The layers, and the length of the vector.

    Raises:
        ValueError: another name.
    """
    inputs = channels * places
    if minibatch == "none":
        return [nn.Flatten()], inputs
    if minibatch == "std":
        return [MinibatchStd(), nn.Flatten()], inputs + places
    if minibatch == "discrimination":
        layer = MinibatchDiscrimination(inputs)
        return [nn.Flatten(), layer], inputs + layer.kernels
    raise ValueError(f"model.discriminator.minibatch={minibatch} is unknown: choose none, std or discrimination")
