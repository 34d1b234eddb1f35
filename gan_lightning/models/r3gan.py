"""Networks of R3GAN: residual, with grouped convolutions and no normalisation (Huang et al. 2024).

"The GAN is dead; long live the GAN! A Modern GAN Baseline", section 4 and the authors' code. A stage for each size of
the maps, 4x4 (for images of 28x28: 7x7; see `layers.smallest_maps`) up to the image's. The coarsest stages, four as
published, have the same width; each further one has half of the one before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lightning.game import DiscriminatorOutput, Latent
from gan_lightning.models.layers import smallest_maps
from gan_lightning.utils.checks import check_int

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)

EXPANSION = 2
"""Channels within a block, in multiples of those of its stage."""

GROUP_CHANNELS = 16
"""Channels of a group of a block's 3x3 convolution."""

LEAST_WIDTH = GROUP_CHANNELS // EXPANSION
"""The channels of a stage are a multiple of it, so that those within a block divide into groups."""

SLOPE = 0.2
"""Negative slope of the leaky ReLU."""


class R3GANGenerator(nn.Module):
    """Learned maps weighted by the noise, then stages of residual blocks, each twice as large. The output is linear.

    Args:
        latent_dim: length of the noise z. 64 in the paper.
        shape: of an image, (channels, height, width): 1 or 3 channels, a size that `smallest_maps` can halve.
        width: channels of the coarsest stages, a multiple of 8; finer ones have one too. 768 in the paper.
        blocks: residual blocks in a stage. 2 in the paper.
        wide_stages: how many stages have the full width. 4 in the authors' code; fewer are less work at fine sizes.

    Raises:
        ValueError: another shape or width, no blocks, or no wide stage.
    """

    def __init__(
        self, latent_dim: int, shape: Sequence[int], width: int = 768, blocks: int = 2, wide_stages: int = 4
    ) -> None:
        super().__init__()
        coarsest, widths = stage_channels(shape, width, blocks, wide_stages)
        self.basis = nn.Parameter(torch.randn(width, *coarsest))
        self.input_projection = msra_init(nn.Linear(latent_dim, width, bias=False))
        layers = residual_blocks(width, blocks, len(widths))
        for wide, narrow in pairwise(widths):
            layers += [*channel_projection(wide, narrow), Upsample(), *residual_blocks(narrow, blocks, len(widths))]
        self.stages = nn.Sequential(*layers)
        self.to_rgb = msra_init(nn.Conv2d(widths[-1], shape[0], 1, bias=False))

    def forward(self, latent: Latent) -> Tensor:
        """Return images, (batch, *shape); only training keeps them in [-1, 1], as published."""
        return self.to_rgb(self.stages(self.basis * self.input_projection(latent.z)[:, :, None, None]))


class R3GANDiscriminator(nn.Module):
    """The generator's mirror image; its last maps are weighted by learned ones and summed, then scored.

    Args:
        shape: of an image, as for the generator.
        width: channels of the coarsest stages, as for the generator.
        blocks: residual blocks in a stage.
        wide_stages: how many stages have the full width.

    Raises:
        ValueError: another shape or width, no blocks, or no wide stage.
    """

    def __init__(self, shape: Sequence[int], width: int = 768, blocks: int = 2, wide_stages: int = 4) -> None:
        super().__init__()
        coarsest, widths = stage_channels(shape, width, blocks, wide_stages)
        layers: list[nn.Module] = [msra_init(nn.Conv2d(shape[0], widths[-1], 1, bias=False))]
        for narrow, wide in pairwise(reversed(widths)):
            layers += [*residual_blocks(narrow, blocks, len(widths)), Downsample(), *channel_projection(narrow, wide)]
        self.stages = nn.Sequential(*layers, *residual_blocks(width, blocks, len(widths)))
        self.score = nn.Sequential(
            msra_init(nn.Conv2d(width, width, coarsest, groups=width, bias=False)),
            nn.Flatten(),
            msra_init(nn.Linear(width, 1, bias=False)),
        )

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        """Return logits (batch,) of images (batch, *shape).

        Features are the smallest maps, (batch, width, height, columns).
        """
        features = self.stages(samples)
        return DiscriminatorOutput(self.score(features).squeeze(1), features)


class ResidualBlock(nn.Module):
    """x + A(B(C(x))): to twice the channels, a grouped 3x3 convolution, and back, with leaky ReLU between.

    Without normalisation the initialisation matters (Zhang et al. 2019, "Fixup Initialization"): the last convolution
    is 0, so that a block begins as the identity, and the others shrink with the number of blocks in the network.

    Args:
        width: channels, a multiple of 8.
        depth: blocks in the network.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        inner = EXPANSION * width
        gain = sqrt(2 / (1 + SLOPE**2)) * depth ** (-1 / 4)  # L^(-1 / (2m - 2)), m = 3 convolutions in a block
        self.layers = nn.Sequential(
            msra_init(nn.Conv2d(width, inner, 1), gain),
            nn.LeakyReLU(SLOPE),
            msra_init(nn.Conv2d(inner, inner, 3, padding=1, groups=inner // GROUP_CHANNELS), gain),
            nn.LeakyReLU(SLOPE),
            msra_init(nn.Conv2d(inner, width, 1, bias=False), 0.0),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Map (batch, width, n, n) to the same shape."""
        return maps + self.layers(maps)


class Resampling(nn.Module):
    """Bilinear resampling by 2, with the filter [1, 3, 3, 1] in both directions and zeros around the maps.

    A convolution and not `interpolate`, whose gradient differs from run to run on GPUs.
    """

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("filter", torch.outer(row, row)[None, None], persistent=False)

    def filters(self, maps: Tensor) -> Tensor:
        """Return the filter, once for each channel of `maps`."""
        return self.filter.expand(maps.shape[1], -1, -1, -1)


class Upsample(Resampling):
    """(batch, channels, n, n) to (batch, channels, 2n, 2n)."""

    def forward(self, maps: Tensor) -> Tensor:
        return F.conv_transpose2d(maps, 4 * self.filters(maps), stride=2, padding=1, groups=maps.shape[1])


class Downsample(Resampling):
    """(batch, channels, 2n, 2n) to (batch, channels, n, n), low frequencies only."""

    def forward(self, maps: Tensor) -> Tensor:
        return F.conv2d(maps, self.filters(maps), stride=2, padding=1, groups=maps.shape[1])


def stage_channels(
    shape: Sequence[int], width: int, blocks: int, wide_stages: int
) -> tuple[tuple[int, int], list[int]]:
    """Return height and width of the smallest maps, and the channels of all stages, smallest maps first.

    After `wide_stages` of them each has half as many, rounded down to a multiple of `LEAST_WIDTH`, and at least that.

    Raises:
        ValueError: an unsupported shape or width, no blocks, or no wide stage.
    """
    coarsest, doublings = smallest_maps("r3gan", shape)
    for name, value in (("blocks", blocks), ("wide_stages", wide_stages)):
        check_int(f"{name} of model.generator and model.discriminator", value)
    if check_int("width of model.generator and model.discriminator", width) % LEAST_WIDTH:
        raise ValueError(
            f"width of model.generator and model.discriminator must be a multiple of {LEAST_WIDTH}, not {width}"
        )
    halved = (width >> max(stage + 1 - wide_stages, 0) for stage in range(doublings + 1))
    return coarsest, [max(channels - channels % LEAST_WIDTH, LEAST_WIDTH) for channels in halved]


def residual_blocks(width: int, blocks: int, count: int) -> list[nn.Module]:
    """Return the blocks of one of `count` stages."""
    return [ResidualBlock(width, depth=blocks * count) for _ in range(blocks)]


def channel_projection(inputs: int, outputs: int) -> list[nn.Module]:
    """Return a 1x1 convolution to `outputs` channels, or no layer where maps have as many."""
    return [] if inputs == outputs else [msra_init(nn.Conv2d(inputs, outputs, 1, bias=False))]


def msra_init(layer: Layer, gain: float = 1.0) -> Layer:
    """Set weights ~ N(0, gain^2 / fan_in) and a bias of 0 (He et al. 2015), and return `layer`."""
    nn.init.normal_(layer.weight, 0.0, gain / sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
