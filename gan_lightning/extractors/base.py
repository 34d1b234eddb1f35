"""The interface of every extractor: images in, features and class logits out, the same ones every time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gan_lightning.data.base import RealData


class Features(NamedTuple):
    """The features of a batch of images, and the logits."""

    features: Tensor
    """(batch, dim) of float32."""

    logits: Tensor | None
    """(batch, classes) of float32; None where the network knows no classes."""


class Extractor(nn.Module, ABC):
    """A frozen network in whose features images are compared.

    Attributes:
        dim: length of a feature vector.
        num_classes: of the logits; None where there are none.
        fingerprint: which network, weights and preprocessing, in a few words. Equal fingerprints give equal features;
            numbers of different ones never stand in one table.
    """

    preprocessing: str
    """How images are brought to the form that the network reads, in a few words."""

    def __init__(self, dim: int, num_classes: int | None, fingerprint: str) -> None:
        super().__init__()
        self.dim, self.num_classes, self.fingerprint = dim, num_classes, fingerprint

    def prepare(self, data: RealData) -> None:
        """Load the weights, or learn them from `data`, or raise a ValueError; called once, on every rank."""
        return

    @abstractmethod
    def extract(self, images: Tensor) -> Features:
        """Return the features of float32 images (batch, channels, height, width) in [-1, 1], rounded to 8 bits.

        Raises a ValueError for images of another shape than the network reads.
        """

    def forward(self, images: Tensor) -> Features:
        """Return what `extract` makes of `images`, and NaN for an image with a pixel that is not finite.

        A diverged generator makes such images, and no file of 8 bits could hold them.
        """
        features, logits = self.extract(images)
        broken = ~images.flatten(1).isfinite().all(dim=1, keepdim=True)
        logits = None if logits is None else logits.masked_fill(broken, math.nan)
        return Features(features.masked_fill(broken, math.nan), logits)


def check_colours(images: Tensor, reader: str) -> None:
    """Raise a ValueError for images that are neither grey nor coloured, which `reader` cannot read."""
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(
            f"{reader} reads images (batch, 1 or 3, height, width), not {tuple(images.shape)}: "
            "choose metrics=sliced_wasserstein for this data"
        )


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Within, compute in full float32 on `device`, whatever training allows: no autocast, no TF32, no bfloat16."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
