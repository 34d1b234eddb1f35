"""Digits as strokes and digits as outlines, from the digits that come with the package."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import max_pool2d

from gan_lightning.data.image_data import Images
from gan_lightning.data.mnist import ASSETS, read_split
from gan_lightning.data.unpaired import Domains, UnpairedImages


class DigitOutlines(UnpairedImages):
    """Domain A: 4 500 digits as they were written. Domain B: the outlines of 4 500 other digits.

    Both come with their classes, (count,) of int64.
    """

    def read(self) -> Domains:
        """Return the training digits: those of even number are domain A, those of odd number domain B."""
        pixels, labels = read_split(ASSETS / "mnist10k", train=True)
        assert labels is not None  # digits have classes
        return Domains(Images(pixels[0::2], labels[0::2]), Images(outlines(pixels[1::2]), labels[1::2]))


def outlines(images: Tensor) -> Tensor:
    """Return the morphological gradient of `images`: their dilation minus their erosion, by 3x3 pixels each.

    Edges become lines two pixels wide and flat areas 0: a stroke of up to two pixels becomes bold, a wider one hollow.

    Args:
        images: (count, 1, height, width), uint8 or floating point, of any range.

    Returns:
        The same shape and type, from 0 to the width of that range.
    """
    values = images.float()
    dilated, eroded = (sign * max_pool2d(sign * values, 3, stride=1, padding=1) for sign in (1, -1))
    return (dilated - eroded).to(images.dtype)
