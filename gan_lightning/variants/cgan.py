"""Conditional GAN: both players are conditioned on the class (Mirza and Osindero 2014).

The generator gets the one-hot class behind the noise, from the prior; the discriminator beside each sample.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gan_lightning.game import DiscriminatorOutput, discriminate
from gan_lightning.wrappers.base import Wrapper


class ClassChannels(Wrapper):
    """A discriminator that gets each sample with its one-hot class as further channels, constant maps of an image.

    Args:
        network: the wrapped discriminator, built for `num_classes` more channels than samples have.
        num_classes: how many classes there are; None, where the data have none, raises a ValueError.
    """

    def __init__(self, network: nn.Module, num_classes: int | None) -> None:
        super().__init__(network)
        self.takes_labels = True
        self.num_classes = require_classes(num_classes)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        """Return the output for samples (batch, channels, ...) of the classes `labels` (batch,)."""
        assert labels is not None  # `discriminate` sees to it
        classes = one_hot(labels, self.num_classes).to(samples)
        maps = classes.view(*classes.shape, *[1] * (samples.dim() - 2)).expand(-1, -1, *samples.shape[2:])
        return discriminate(self.network, torch.cat([samples, maps], dim=1), labels)


def require_classes(num_classes: int | None) -> int:
    """Return `num_classes`; a ValueError if there are none."""
    if not num_classes:
        raise ValueError(
            "a discriminator cannot be class-conditional, nor classify, where the data have no classes: choose data "
            "with classes, such as data=mnist10k"
        )
    return num_classes
