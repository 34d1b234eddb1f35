"""DCGAN: strided convolutions and batch norm, no pooling, no dense hidden layers (Radford et al. 2016).

The published networks are for 64x64 pixels. Other sizes have more or fewer halvings, down to 4x4, or to 7x7 for 28x28,
3 times to 6x12 for 48x96; see `layers.smallest_maps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from gan_lightning.game import DiscriminatorOutput, Latent
from gan_lightning.models.layers import check_width, gradient_in_layout, make_norm, smallest_maps
from gan_lightning.models.minibatch import minibatch_layers
from gan_lightning.models.normalization import REFERENCE_SIZE, VirtualBatchNorm, spectrally_normalised
from gan_lightning.priors import Prior
from gan_lightning.utils.checks import check_bool

MOST_WIDTHS = 16
"""The most channels of a map, in multiples of the width. Images of up to 128 pixels have no more."""


class DCGANGenerator(nn.Module):
    """Noise projected to the smallest maps, then a transposed convolution for each doubling, with batch norm and ReLU.

    Args:
        latent_dim: length of the noise z.
        shape: of an image, (channels, height, width): 1 or 3 channels, a size that `smallest_maps` can halve.
        width: channels of the largest hidden feature maps; they double with each halving, up to `MOST_WIDTHS` times.
            The published 64x64 network has 128.
        norm: `batch`, as published; or `virtual`, by a fixed reference batch, see `VirtualBatchNorm`.
        prior: the distribution of the reference batch, which is drawn once, when the network is built; only for
            `virtual`.

    Raises:
        ValueError: another shape or norm, no channels, or no prior for `virtual`.
    """

    reference: Tensor | None

    def __init__(
        self,
        latent_dim: int,
        shape: Sequence[int],
        width: int = 64,
        norm: str = "batch",
        prior: Prior | None = None,
    ) -> None:
        super().__init__()
        coarsest, widths = channel_schedule(shape, width)
        self.input_projection = nn.Sequential(
            nn.Linear(latent_dim, widths[-1] * prod(coarsest), bias=False),
            nn.Unflatten(1, (widths[-1], *coarsest)),
            generator_norm(norm, widths[-1]),
            nn.ReLU(),
        )
        self.upsample = nn.Sequential(
            *(upsample_block(wide, narrow, norm) for wide, narrow in pairwise(reversed(widths)))
        )
        self.to_rgb = nn.Sequential(nn.ConvTranspose2d(width, shape[0], 4, stride=2, padding=1), nn.Tanh())
        self.apply(initialise)
        self.register_buffer("reference", draw_reference(prior) if norm == "virtual" else None)

    def forward(self, latent: Latent) -> Tensor:
        """Return images in [-1, 1], (batch, *shape)."""
        if self.reference is None:
            return self.to_rgb(self.upsample(gradient_in_layout(self.input_projection(latent.z))))
        maps = gradient_in_layout(self.input_projection(torch.cat([self.reference, latent.z])))
        return self.to_rgb(self.upsample(maps)[len(self.reference) :])


class DCGANDiscriminator(nn.Module):
    """The generator's mirror image: a strided convolution a halving, leaky ReLU of slope .2, norm but in the first.

    Args:
        shape: of an image, as for the generator.
        width: channels of the largest hidden feature maps, as for the generator.
        norm: `batch`, as published; `layer`, for losses that need each score to depend on one sample alone; or `none`.
        spectral_norm: divide each weight by its largest singular value (Miyato et al. 2018), which takes `norm=none`:
            a norm of maps would undo it.
        minibatch: the statistic of the batch that the score sees: `none`, `std` or `discrimination`, see
            `minibatch_layers`.
        init: of the weights: `dcgan`, N(0, .02) as published, which suits norms and wide networks; or `he`, N(0, 2 /
            (1 + slope^2) / inputs) (He et al. 2015, eq. 15), which keeps the maps' scale where there is no norm.
        pool: the features are the smallest maps summed over places (Miyato and Koyama 2018), so that what is learned of
            a thing in one place holds in all.

    Raises:
        ValueError: another shape, norm, minibatch or init, or no channels.
    """

    def __init__(
        self,
        shape: Sequence[int],
        width: int = 64,
        norm: str = "batch",
        spectral_norm: bool = False,
        minibatch: str = "none",
        init: str = "dcgan",
        pool: bool = False,
    ) -> None:
        super().__init__()
        if init not in ("dcgan", "he"):
            raise ValueError(f"model.discriminator.init={init} is unknown: choose dcgan or he")
        self.pool = check_bool("model.discriminator.pool", pool)
        coarsest, widths = channel_schedule(shape, width)
        self.from_rgb = nn.Sequential(nn.Conv2d(shape[0], width, 4, stride=2, padding=1), nn.LeakyReLU(0.2))
        self.downsample = nn.Sequential(*(downsample_block(narrow, wide, norm) for narrow, wide in pairwise(widths)))
        flatten, inputs = minibatch_layers(minibatch, widths[-1], 1 if pool else prod(coarsest))
        self.score = nn.Sequential(*flatten, nn.Linear(inputs, 1))
        self.apply(initialise if init == "dcgan" else initialise_by_inputs)
        if spectral_norm:
            spectrally_normalised(self)

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        """Return logits (batch,) of images (batch, *shape).

        Features are the smallest maps, (batch, channels, height, width), of size 1 x 1 where they are pooled: their sum
        over places, divided by the square root of their number, so that its variance is theirs.
        """
        features = self.downsample(self.from_rgb(samples))
        if self.pool:
            features = features.sum((2, 3), keepdim=True) / prod(features.shape[2:]) ** 0.5
        return DiscriminatorOutput(self.score(gradient_in_layout(features)).squeeze(1), features)


def channel_schedule(shape: Sequence[int], width: int, model: str = "dcgan") -> tuple[tuple[int, int], list[int]]:
    """Return height and width of the smallest feature maps, and the channels of all maps, largest maps first.

    Raises:
        ValueError: the networks are not made for images of this shape, or `width` is below 1.
    """
    coarsest, halvings = smallest_maps(model, shape)
    check_width(width)
    return coarsest, [width * min(2**halving, MOST_WIDTHS) for halving in range(halvings)]


def generator_norm(name: str, channels: int) -> nn.Module:
    """Return batch norm of `channels` maps, or virtual batch norm.

    Raises:
        ValueError: another name.
    """
    if name not in ("batch", "virtual"):
        raise ValueError(f"model.generator.norm={name} is unknown: choose batch or virtual")
    return nn.BatchNorm2d(channels) if name == "batch" else VirtualBatchNorm(channels)


def draw_reference(prior: Prior | None) -> Tensor:
    """Draw the noise of a reference batch, (REFERENCE_SIZE, dim), a function of torch's global seed.

    Raises:
        ValueError: there is no prior to draw it from.
    """
    if prior is None:
        raise ValueError("model.generator.norm=virtual draws a reference batch: give model.generator.prior=${prior}")
    rng = torch.Generator().manual_seed(int(torch.randint(2**62, (), device="cpu")))
    return prior.sample(REFERENCE_SIZE, rng).z


def upsample_block(wide: int, narrow: int, norm: str) -> nn.Sequential:
    """Return a block from (batch, wide, n, n) to (batch, narrow, 2n, 2n), without bias: the norm would cancel it."""
    convolution = nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, generator_norm(norm, narrow), nn.ReLU())


def downsample_block(narrow: int, wide: int, norm: str) -> nn.Sequential:
    """Return a block from (batch, narrow, 2n, 2n) to (batch, wide, n, n), with a bias only where no norm cancels it."""
    normalise = make_norm(norm, wide)
    bias = isinstance(normalise, nn.Identity)
    return nn.Sequential(nn.Conv2d(narrow, wide, 4, stride=2, padding=1, bias=bias), normalise, nn.LeakyReLU(0.2))


def initialise(module: nn.Module) -> None:
    """Set weights ~ N(0, .02) (Radford et al. 2016, section 4), scales of norms ~ N(1, .02), biases 0 (their code)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm | VirtualBatchNorm):
        nn.init.normal_(module.weight, 1.0, 0.02)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def initialise_by_inputs(module: nn.Module) -> None:
    """Set convolutions' weights by He et al. 2015 for the leaky ReLU that follows, linear ones ~ N(0, 1 / inputs)."""
    initialise(module)
    if isinstance(module, nn.Conv2d | nn.Linear):
        slope = 0.2 if isinstance(module, nn.Conv2d) else 1.0
        nn.init.kaiming_normal_(module.weight, a=slope)
