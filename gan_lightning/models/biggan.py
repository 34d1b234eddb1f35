"""BigGAN: class-conditional residual networks with spectral norm in both players (Brock et al. 2019, appendix B).

The published networks are for 128x128 pixels and more; those for 32 and 64 come from the authors' PyTorch code, whose
channels and order of layers are kept throughout. Images of 28x28 use the channels of 32x32 and start from 7x7 maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from gan_lightning.game import DiscriminatorOutput, Latent
from gan_lightning.models.attention import SelfAttention
from gan_lightning.models.layers import BASE_RESOLUTION, check_shape, check_width, initialise_orthogonal
from gan_lightning.models.normalization import spectrally_normalised
from gan_lightning.models.resnet import ConditionalResBlockUp, ResBlock, ResBlockDown, require_labels, run_conditional
from gan_lightning.utils.checks import check_int

GENERATOR_CHANNELS = {28: (4, 4, 4), 32: (4, 4, 4, 4), 64: (16, 16, 8, 4, 2), 128: (16, 16, 8, 4, 2, 1)}
"""Channels of the generator's maps, smallest maps first, in multiples of `width`, by the size of an image in pixels."""

DISCRIMINATOR_CHANNELS = {28: (4, 4), 32: (4, 4), 64: (1, 2, 4, 8), 128: (1, 2, 4, 8, 16)}
"""Channels of the discriminator's maps after each block that halves their size, likewise."""

FINAL_CHANNELS = {28: (4, 4), 32: (4, 4), 64: (16,), 128: (16,)}
"""Channels after the discriminator's last blocks, which keep the size, likewise."""


class BigGANGenerator(nn.Module):
    """Class-conditional: a residual block for each doubling of 4x4 or 7x7 maps, then batch norm and a convolution.

    The noise is split into chunks of equal length. The first is projected to the smallest maps. Each block takes
    another one, concatenated to the class embedding that all blocks share, as the condition of its batch norms.

    Weights are initialised orthogonally. All but the embedding are divided by their largest singular value.

    Args:
        latent_dim: length of the noise z, a multiple of the number of blocks + 1: of 3 for 28 pixels, 4 for 32, 5 for
            64 and 6 for 128. BigGAN has 120.
        shape: of an image, (channels, size, size): 1 or 3 channels, size 28, 32, 64 or 128 pixels.
        num_classes: how many classes there are; None where the data have none.
        width: channels of the narrowest maps at 128 pixels; the others are multiples of it, see `GENERATOR_CHANNELS`.
            BigGAN has 96.
        embedding_dim: length of the embedding of a class. BigGAN has 128.
        attention: self-attention at half the size of the image, as published for 128 pixels.

    Raises:
        ValueError: another shape, noise that does not divide into chunks, no classes, or a width or length below 1.
    """

    def __init__(
        self,
        latent_dim: int,
        shape: Sequence[int],
        num_classes: int | None,
        width: int = 96,
        embedding_dim: int = 128,
        attention: bool = True,
    ) -> None:
        super().__init__()
        check_shape("biggan", shape)
        check_width(width)
        channels, size = shape[:2]
        widths, coarsest = [multiple * width for multiple in GENERATOR_CHANNELS[size]], BASE_RESOLUTION[size]
        self.chunk_dim = latent_chunk_dim(latent_dim, len(widths), size)
        condition_dim = check_int("model.generator.embedding_dim", embedding_dim) + self.chunk_dim
        blocks: list[nn.Module] = [ConditionalResBlockUp(*pair, condition_dim) for pair in pairwise(widths)]
        if attention:
            blocks.insert(-1, SelfAttention(widths[-2]))
        self.embed = nn.Embedding(require_classes(num_classes), embedding_dim)
        self.input_projection = nn.Sequential(
            nn.Linear(self.chunk_dim, widths[0] * coarsest**2), nn.Unflatten(1, (widths[0], coarsest, coarsest))
        )
        self.upsample = nn.ModuleList(blocks)
        self.to_rgb = nn.Sequential(
            nn.BatchNorm2d(widths[-1]), nn.ReLU(), nn.Conv2d(widths[-1], channels, 3, padding=1), nn.Tanh()
        )
        self.apply(initialise_orthogonal)
        spectrally_normalised(self, spared=[self.embed])  # the authors found it to cripple the generator there

    def forward(self, latent: Latent) -> Tensor:
        """Return images in [-1, 1], (batch, *shape).

        Raises:
            ValueError: the latent has no labels.
        """
        embedded = self.embed(require_labels(latent))
        first, *others = latent.z.split(self.chunk_dim, dim=1)
        conditions = [torch.cat([embedded, chunk], dim=1) for chunk in others]
        return self.to_rgb(run_conditional(self.upsample, self.input_projection(first), conditions))


class BigGANDiscriminator(nn.Module):
    """Residual blocks down to 4x4, 7x7 or 8x8 maps, one for each halving, then more that keep the size.

    Features are the last maps after ReLU, summed over places. A projection of the class is added to their score.
    Weights are initialised orthogonally, and all are divided by their largest singular value.

    Args:
        shape: of an image, as for the generator.
        num_classes: how many classes there are; None where the data have none.
        width: channels of the first maps at 128 pixels; the others are multiples of it, see `DISCRIMINATOR_CHANNELS`
            and `FINAL_CHANNELS`. BigGAN has 96.
        attention: self-attention at half the size of the image, as published for 128 pixels.

    Raises:
        ValueError: another shape, no classes, or a width below 1.
    """

    takes_labels = True

    def __init__(self, shape: Sequence[int], num_classes: int | None, width: int = 96, attention: bool = True) -> None:
        super().__init__()
        check_shape("biggan", shape)
        check_width(width)
        channels, size = shape[:2]
        upper, lower = (
            [multiple * width for multiple in table[size]] for table in (DISCRIMINATOR_CHANNELS, FINAL_CHANNELS)
        )
        blocks: list[nn.Module] = [ResBlockDown(channels, upper[0], first=True)]
        if attention:
            blocks.append(SelfAttention(upper[0]))
        blocks += [ResBlockDown(*pair) for pair in pairwise(upper)]
        blocks += [ResBlock(*pair) for pair in pairwise([upper[-1], *lower])]
        self.blocks = nn.Sequential(*blocks, nn.ReLU())
        self.score = ProjectionScore(lower[-1], require_classes(num_classes))
        self.apply(initialise_orthogonal)
        spectrally_normalised(self)

    def forward(self, samples: Tensor, labels: Tensor) -> DiscriminatorOutput:
        """Return logits (batch,) of images (batch, *shape) of the classes `labels` (batch,).

        Features are the last maps summed over places, (batch, channels).
        """
        features = self.blocks(samples).sum((2, 3))
        return DiscriminatorOutput(self.score(features, labels), features)


class ProjectionScore(nn.Module):
    """b + <w + v_y, features> for the class y, with a learned vector v for each (Miyato and Koyama 2018, eq. 3).

    Args:
        width: length of the features.
        num_classes: how many classes there are.
    """

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)
        self.embed = nn.Embedding(num_classes, width)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return scores (batch,) of float32 for features (batch, width) of samples of the classes `labels` (batch,)."""
        projected = (self.embed(labels).float() * features.float()).sum(dim=1)
        return self.linear(features).squeeze(1).float() + projected


def latent_chunk_dim(latent_dim: int, chunks: int, size: int) -> int:
    """Return the length of each of the chunks that the noise is split into.

    Raises:
        ValueError: `latent_dim` is not a multiple of `chunks`.
    """
    if latent_dim % chunks:
        near = max(1, round(latent_dim / chunks)) * chunks
        raise ValueError(
            f"model=biggan splits the noise of images of {size} pixels into {chunks} chunks of equal length, and "
            f"{latent_dim} is not a multiple of {chunks}: choose prior.noise.dim={near}"
        )
    return latent_dim // chunks


def require_classes(num_classes: int | None) -> int:
    """Return the number of classes.

    Raises:
        ValueError: the data have no classes.
    """
    if num_classes is None:
        raise ValueError(
            "model=biggan is class-conditional, and these data have no classes: choose data with classes, such as "
            "data=mnist10k, or another model, such as model=sagan"
        )
    return check_int("model.generator.num_classes and model.discriminator.num_classes", num_classes)
