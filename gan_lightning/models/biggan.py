"""BigGAN: class-conditional residual networks with spectral norm in both players (Brock et al. 2019, appendix B).

The published networks are for 128x128 pixels and more; those for 32 and 64 come from the authors' PyTorch code, whose
channels and order of layers are kept throughout. Channels follow from the number of halvings, see
`layers.smallest_maps`: images of 48x48 have those of 32x32 and start from 6x6 maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from gan_lightning.game import DiscriminatorOutput, Latent
from gan_lightning.models.attention import SelfAttention, attention_halvings
from gan_lightning.models.layers import check_width, initialise_orthogonal, smallest_maps
from gan_lightning.models.normalization import spectrally_normalised
from gan_lightning.models.resnet import ConditionalResBlockUp, ResBlock, ResBlockDown, require_labels, run_conditional
from gan_lightning.utils.checks import check_int

GENERATOR_CHANNELS = {2: (4, 4, 4), 3: (4, 4, 4, 4), 4: (16, 16, 8, 4, 2), 5: (16, 16, 8, 4, 2, 1)}
"""Channels of the generator's maps, smallest maps first, in multiples of `width`, by the number of doublings."""

DISCRIMINATOR_CHANNELS = {2: (4, 4), 3: (4, 4), 4: (1, 2, 4, 8), 5: (1, 2, 4, 8, 16)}
"""Channels of the discriminator's maps after each block that halves their size, likewise."""

FINAL_CHANNELS = {2: (4, 4), 3: (4, 4)}
"""Channels after the discriminator's last blocks, which keep the size, likewise; 16 widths for more halvings."""


class BigGANGenerator(nn.Module):
    """Class-conditional: a residual block for each doubling of the smallest maps, then batch norm and a convolution.

    The noise is split into chunks of equal length; what does not divide goes to the first, which is projected to the
    smallest maps. Each block takes another one, concatenated to the class embedding that all blocks share, as the
    condition of its batch norms.

    Weights are initialised orthogonally. All but the embedding are divided by their largest singular value.

    Args:
        latent_dim: length of the noise z, at least one number for each chunk. BigGAN has 120 for 6 chunks.
        shape: of an image, (channels, height, width): 1 or 3 channels, a size that `smallest_maps` can halve.
        num_classes: how many classes there are; None where the data have none.
        width: channels of the narrowest maps at 128 pixels; the others are multiples of it, see `generator_channels`.
            BigGAN has 96.
        embedding_dim: length of the embedding of a class. BigGAN has 128.
        attention: self-attention at half the size of the image, as published for 128 pixels; see
            `attention_halvings`.

    Raises:
        ValueError: another shape, too little noise, no classes, or a width or length below 1.
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
        coarsest, doublings = smallest_maps("biggan", shape)
        check_width(width)
        widths = [multiple * width for multiple in generator_channels(doublings)]
        self.chunk_dims = latent_chunk_dims(latent_dim, len(widths))
        condition_dim = check_int("model.generator.embedding_dim", embedding_dim) + self.chunk_dims[-1]
        blocks: list[nn.Module] = [ConditionalResBlockUp(*pair, condition_dim) for pair in pairwise(widths)]
        if attention:
            place = attention_halvings(shape)
            blocks.insert(-place, SelfAttention(widths[-place - 1]))
        self.embed = nn.Embedding(require_classes(num_classes), embedding_dim)
        self.input_projection = nn.Sequential(
            nn.Linear(self.chunk_dims[0], widths[0] * prod(coarsest)), nn.Unflatten(1, (widths[0], *coarsest))
        )
        self.upsample = nn.ModuleList(blocks)
        self.to_rgb = nn.Sequential(
            nn.BatchNorm2d(widths[-1]), nn.ReLU(), nn.Conv2d(widths[-1], shape[0], 3, padding=1), nn.Tanh()
        )
        self.apply(initialise_orthogonal)
        spectrally_normalised(self, spared=[self.embed])  # the authors found it to cripple the generator there

    def forward(self, latent: Latent) -> Tensor:
        """Return images in [-1, 1], (batch, *shape).

        Raises:
            ValueError: the latent has no labels.
        """
        embedded = self.embed(require_labels(latent))
        first, *others = latent.z.split(self.chunk_dims, dim=1)
        conditions = [torch.cat([embedded, chunk], dim=1) for chunk in others]
        return self.to_rgb(run_conditional(self.upsample, self.input_projection(first), conditions))


class BigGANDiscriminator(nn.Module):
    """Residual blocks, one for each halving, down to 4x4, 7x7 or 8x8 maps or so, then more that keep the size.

    Features are the last maps after ReLU, summed over places. A projection of the class is added to their score.
    Weights are initialised orthogonally, and all are divided by their largest singular value.

    Args:
        shape: of an image, as for the generator.
        num_classes: how many classes there are; None where the data have none.
        width: channels of the first maps at 128 pixels; the others are multiples of it, see
            `discriminator_channels`. BigGAN has 96.
        attention: self-attention at half the size of the image, as published for 128 pixels; see
            `attention_halvings`.

    Raises:
        ValueError: another shape, no classes, or a width below 1.
    """

    takes_labels = True

    def __init__(self, shape: Sequence[int], num_classes: int | None, width: int = 96, attention: bool = True) -> None:
        super().__init__()
        _, halvings = smallest_maps("biggan", shape)
        check_width(width)
        upper, lower = ([multiple * width for multiple in part] for part in discriminator_channels(halvings))
        blocks: list[nn.Module] = []
        for done, (inputs, outputs) in enumerate(pairwise([shape[0], *upper]), start=1):
            blocks.append(ResBlockDown(inputs, outputs, first=done == 1))
            if attention and done == attention_halvings(shape):
                blocks.append(SelfAttention(outputs))
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


def generator_channels(doublings: int) -> tuple[int, ...]:
    """Return the channels of the generator's maps, smallest maps first, in multiples of `width`.

    For 6 doublings, 256 pixels, they are those of the authors' code; each further one ends with maps of one width more.
    """
    return GENERATOR_CHANNELS.get(doublings, (16, 16, 8, 8, 4, 2) + (1,) * (doublings - 5))


def discriminator_channels(halvings: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the channels after each block that halves maps, and after those that keep the size, likewise."""
    upper = DISCRIMINATOR_CHANNELS.get(halvings, (1,) * (halvings - 5) + (2, 4, 8, 8, 16))
    return upper, FINAL_CHANNELS.get(halvings, (16,))


def latent_chunk_dims(latent_dim: int, chunks: int) -> list[int]:
    """Return the lengths of the chunks that the noise is split into.

    Raises:
        ValueError: it has fewer numbers than there are chunks.
    """
    if latent_dim < chunks:
        raise ValueError(
            f"model=biggan splits the noise into {chunks} chunks for images of this size, and {latent_dim} numbers are "
            f"too few: choose prior.noise.dim={20 * chunks}"
        )
    chunk = latent_dim // chunks
    return [latent_dim - (chunks - 1) * chunk] + [chunk] * (chunks - 1)


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
