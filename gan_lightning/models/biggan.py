"""BigGAN: residual networks of classes, with spectral norm in both players (Brock et al. 2019, appendix B).

The published networks are for 128x128 pixels and more; those for 32 and 64 are of the authors' code for PyTorch, whose
widths and order of layers are kept throughout. Images of 28x28 have the widths of 32x32 and start from 7x7 maps.
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
from gan_lightning.models.resnet import ConditionalResBlockUp, ResBlock, ResBlockDown, class_embedding, conditioned
from gan_lightning.utils.checks import check_int

UPWARDS = {28: (4, 4, 4), 32: (4, 4, 4, 4), 64: (16, 16, 8, 4, 2), 128: (16, 16, 8, 4, 2, 1)}
"""Size of an image in pixels to the widths of the generator's maps, smallest maps first, in multiples of `width`."""

DOWNWARDS = {28: (4, 4), 32: (4, 4), 64: (1, 2, 4, 8), 128: (1, 2, 4, 8, 16)}
"""Likewise those of the discriminator after each halving."""

BELOW = {28: (4, 4), 32: (4, 4), 64: (16,), 128: (16,)}
"""Likewise those after the blocks that follow and keep the size."""


class BigGANGenerator(nn.Module):
    """Noise and class projected to 4x4 or 7x7 maps, a residual block a doubling, batch norm, ReLU and a convolution.

    The noise is cut into chunks of one length. The first is projected to the smallest maps. Each block takes another
    one, behind the embedding of the class that all blocks share, as the condition of its batch norms.

    Weights start orthogonal. All but the embedding are divided by their largest singular value.

    Args:
        latent_dim: length of the noise z, a multiple of the number of blocks + 1: of 3 for 28 pixels, 4 for 32, 5 for
            64 and 6 for 128. BigGAN has 120.
        shape: of an image, (channels, size, size): 1 or 3 channels, size 28, 32, 64 or 128 pixels.
        num_classes: how many classes there are; None where the data have none.
        width: channels of the narrowest maps at 128 pixels; others have up to 16 times as many, as `UPWARDS` says.
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
        widths, coarsest = [multiple * width for multiple in UPWARDS[size]], BASE_RESOLUTION[size]
        self.chunk = chunk_length(latent_dim, len(widths), size)
        condition_dim = check_int("model.generator.embedding_dim", embedding_dim) + self.chunk
        blocks: list[nn.Module] = [ConditionalResBlockUp(*pair, condition_dim) for pair in pairwise(widths)]
        if attention:
            blocks.insert(-1, SelfAttention(widths[-2]))
        self.embed = nn.Embedding(require_classes(num_classes), embedding_dim)
        self.input_projection = nn.Sequential(
            nn.Linear(self.chunk, widths[0] * coarsest**2), nn.Unflatten(1, (widths[0], coarsest, coarsest))
        )
        self.upsample = nn.ModuleList(blocks)
        self.to_rgb = nn.Sequential(
            nn.BatchNorm2d(widths[-1]), nn.ReLU(), nn.Conv2d(widths[-1], channels, 3, padding=1), nn.Tanh()
        )
        self.apply(initialise_orthogonal)
        spectrally_normalised(self, spared=[self.embed])  # the authors found it to cripple the generator there

    def forward(self, latent: Latent) -> Tensor:
        """Images in [-1, 1], (batch, *shape).

        Raises:
            ValueError: the latent asks for no classes.
        """
        embedded = self.embed(class_embedding(latent))
        first, *others = latent.z.split(self.chunk, dim=1)
        conditions = [torch.cat([embedded, chunk], dim=1) for chunk in others]
        return self.to_rgb(conditioned(self.upsample, self.input_projection(first), conditions))


class BigGANDiscriminator(nn.Module):
    """A residual block a halving down to 4x4, 7x7 or 8x8 maps, more that keep the size, ReLU, the sum over places.

    The score of these features is told the class. Weights start orthogonal, and all are divided by their largest
    singular value.

    Args:
        shape: of an image, as for the generator.
        num_classes: how many classes there are; None where the data have none.
        width: channels of the widest maps at 128 pixels; others have up to 16 times as many, as `DOWNWARDS` and
            `BELOW` say. BigGAN has 96.
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
        upper, lower = ([multiple * width for multiple in table[size]] for table in (DOWNWARDS, BELOW))
        blocks: list[nn.Module] = [ResBlockDown(channels, upper[0], first=True)]
        if attention:
            blocks.append(SelfAttention(upper[0]))
        blocks += [ResBlockDown(*pair) for pair in pairwise(upper)]
        blocks += [ResBlock(*pair) for pair in pairwise([upper[-1], *lower])]
        self.blocks = nn.Sequential(*blocks, nn.ReLU())
        self.score = ClassScore(lower[-1], require_classes(num_classes))
        self.apply(initialise_orthogonal)
        spectrally_normalised(self)

    def forward(self, samples: Tensor, labels: Tensor) -> DiscriminatorOutput:
        """Logits (batch,) of images (batch, *shape) and their classes (batch,).

        Features are the last maps summed over places, (batch, channels).
        """
        features = self.blocks(samples).sum((2, 3))
        return DiscriminatorOutput(self.score(features, labels), features)


class ClassScore(nn.Module):
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
        """Scores (batch,) of float32 for features (batch, width) of samples of the classes `labels` (batch,)."""
        projected = (self.embed(labels).float() * features.float()).sum(dim=1)
        return self.linear(features).squeeze(1).float() + projected


def chunk_length(latent_dim: int, chunks: int, size: int) -> int:
    """Length of each of the chunks that the noise is cut into.

    Raises:
        ValueError: they would not be of one length.
    """
    if latent_dim % chunks:
        near = max(1, round(latent_dim / chunks)) * chunks
        raise ValueError(
            f"model=biggan cuts the noise of images of {size} pixels into {chunks} chunks of one length, and "
            f"{latent_dim} numbers do not divide so: choose prior.noise.dim={near}"
        )
    return latent_dim // chunks


def require_classes(num_classes: int | None) -> int:
    """The number of classes.

    Raises:
        ValueError: there are none.
    """
    if num_classes is None:
        raise ValueError(
            "model=biggan makes images of classes, and these data have none: choose data with classes, such as "
            "data=mnist10k, or another model, such as model=sagan"
        )
    return check_int("model.generator.num_classes and model.discriminator.num_classes", num_classes)
