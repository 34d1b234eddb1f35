"""Pixels: 8-bit levels in files, [-1, 1] in networks."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def quantise(images: Tensor) -> Tensor:
    """Return images as a file with 8 bits a channel would hold them: the nearest of 256 levels, outliers clamped.

    Fakes are evaluated as a viewer of the file sees them, and real images have these levels already. The result stays
    in float32, so that a pixel of a diverged generator, be it NaN or infinite, is NaN.

    Args:
        images: (batch, channels, height, width) in [-1, 1].

    Returns:
        The same shape, whole numbers in [0, 255].
    """
    levels = images.add(1.0).mul(127.5).round().clamp(0.0, 255.0)
    return levels.masked_fill(~images.isfinite(), math.nan)


def normalize(pixels: Tensor) -> Tensor:
    """Return uint8 pixels in 0..255 as float32 in [-1, 1], the range of tanh: x / 127.5 - 1."""
    return pixels.float().div_(127.5).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """Return `images` in [-1, 1] as 8-bit pixels of the same shape: -1 is 0, 1 is 255, rounded as for the metrics."""
    return quantise(images.float()).to(torch.uint8)
