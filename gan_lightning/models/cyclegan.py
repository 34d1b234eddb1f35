"""CycleGAN: two networks that translate images of one domain into the other's, and two that score patches.

Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", section 7.1. A
sample is an image of domain A and one of domain B in one tensor, (2 * channels, height, width), as `data/unpaired.py`
has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import TypeGuard

import torch
from torch import Tensor, nn

from gan_lightning.game import DiscriminatorOutput, Latent
from gan_lightning.models.dcgan import initialise
from gan_lightning.models.layers import check_width
from gan_lightning.utils.checks import check_int

MULTIPLE = 4
"""Pixels. The sides of images are multiples of it, so that they are halved twice without remainder."""

LEAST_SIZE = 16
"""Pixels. Below, the translators' smallest maps are too small to be padded by reflection."""


@dataclass
class PatchOutput(DiscriminatorOutput):
    """The output of two critics of patches for pairs of images; `logits` is the mean of it all.

    Attributes:
        patches: scores, (batch, 2, height, width); of the patches of A's image first, then of those of B's.
    """

    patches: Tensor = field(kw_only=True)


class CycleGANGenerators(nn.Module):
    """The generator of CycleGAN: G translates images of A into images of B, F those of B into images of A.

    Args:
        shape: of a sample, (2 * channels, height, width): 1 or 3 channels, sides of at least 16, multiples of 4.
        width: channels of the largest feature maps. Published: 64.
        blocks: residual blocks in each network. Published: 6 for 128x128 pixels, 9 for larger images.
        halvings: how often maps are halved before the blocks, and doubled after them. Published: 2, which leaves small
            images little to draw fine lines with.

    Attributes:
        translates: True, by which all others know a generator that has `a_to_b` and `b_to_a`.
        a_to_b: G; takes and gives images in [-1, 1], (batch, channels, height, width) of any such size.
        b_to_a: F, likewise.

    Raises:
        ValueError: another shape, no channels, no blocks, or other than 1 or 2 halvings.
    """

    translates = True

    def __init__(self, shape: Sequence[int], width: int = 64, blocks: int = 9, halvings: int = 2) -> None:
        super().__init__()
        channels = channels_of_a_domain(shape)
        check_width(width)
        check_int("model.generator.blocks", blocks)
        if halvings not in (1, 2):
            raise ValueError(f"model.generator.halvings must be 1 or 2, not {halvings}")
        self.a_to_b = make_generator(channels, width, blocks, halvings)
        self.b_to_a = make_generator(channels, width, blocks, halvings)
        self.apply(initialise)

    def forward(self, latent: Latent) -> Tensor:
        """Return F(b), an image of A, beside G(a), an image of B: (batch, *shape) in [-1, 1].

        Args:
            latent: its z is pairs of source images (a, b), (batch, *shape) in [-1, 1].
        """
        a, b = latent.z.chunk(2, dim=1)
        return torch.cat([self.b_to_a(b), self.a_to_b(a)], dim=1)


class PatchGANPair(nn.Module):
    """The discriminator of CycleGAN: a PatchGAN for each domain (Isola et al. 2017, section 6.1.2).

    Every score is of a patch: of 16, 34 or 70 pixels in each direction for a `depth` of 1, 2 or 3.

    Args:
        shape: of a sample, as for the translators.
        width: channels of the largest feature maps; they double with each halving, up to eight times. Published: 64.
        depth: halvings. Published: 3.

    Raises:
        ValueError: another shape, no channels, or a depth that leaves no patches of such small images.
    """

    def __init__(self, shape: Sequence[int], width: int = 64, depth: int = 3) -> None:
        super().__init__()
        channels = channels_of_a_domain(shape)
        check_width(width)
        least = min(shape[1:])
        if depth < 1 or patches_across(least, depth) < 1:
            raise ValueError(
                f"model.discriminator.depth={depth} does not suit images of {least} pixels: choose "
                f"{max(d for d in range(1, 4) if patches_across(least, d) >= 1)} or less, at least 1"
            )
        self.of_a = make_patchgan(channels, width, depth)
        self.of_b = make_patchgan(channels, width, depth)
        self.apply(initialise)

    def forward(self, samples: Tensor) -> PatchOutput:
        """Return the scores of the patches of samples (batch, *shape)."""
        a, b = samples.chunk(2, dim=1)
        patches = torch.cat([self.of_a(a), self.of_b(b)], dim=1)
        return PatchOutput(patches.float().mean((1, 2, 3)), patches=patches)


def is_translator(network: nn.Module) -> TypeGuard[CycleGANGenerators]:
    """Return whether a generator translates both ways, as `CycleGANGenerators` does."""
    return bool(getattr(network, "translates", False))


def channels_of_a_domain(shape: Sequence[int]) -> int:
    """Return the channels of an image, half of those of a sample of `shape`.

    Raises:
        ValueError: the networks do not take such samples.
    """
    channels, *sides = shape
    if channels not in (2, 6) or len(sides) != 2 or min(sides) < LEAST_SIZE or any(side % MULTIPLE for side in sides):
        raise ValueError(
            f"model=cyclegan translates images of two domains, grey or colour, whose sides are multiples of {MULTIPLE} "
            f"and at least {LEAST_SIZE} pixels, so that a sample has shape [2, height, width] or [6, height, width], "
            f"not data.shape={list(shape)}: choose data=digit_outlines or data=unpaired_folders"
        )
    return channels // 2


def make_generator(channels: int, width: int, blocks: int, halvings: int) -> nn.Sequential:
    """Return c7s1-k, d2k, d4k, residual blocks, u2k, uk, c7s1, in the paper's notation, for two halvings."""
    widths = [width * 2**halving for halving in range(halvings + 1)]
    down = (downsample_block(narrow, wide) for narrow, wide in pairwise(widths))
    up = (upsample_block(wide, narrow) for wide, narrow in pairwise(reversed(widths)))
    return nn.Sequential(
        nn.ReflectionPad2d(3),
        *instance_normalised(nn.Conv2d(channels, width, 7, bias=False), nn.ReLU()),
        *chain.from_iterable(instance_normalised(convolution, nn.ReLU()) for convolution in down),
        *(ResidualBlock(widths[-1]) for _ in range(blocks)),
        *chain.from_iterable(instance_normalised(convolution, nn.ReLU()) for convolution in up),
        nn.ReflectionPad2d(3),
        nn.Conv2d(width, channels, 7),
        nn.Tanh(),
    )


class ResidualBlock(nn.Module):
    """Two convolutions that keep the size, added to their input; no activation after the sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.ReflectionPad2d(1),
            *instance_normalised(nn.Conv2d(width, width, 3, bias=False), nn.ReLU()),
            nn.ReflectionPad2d(1),
            *instance_normalised(nn.Conv2d(width, width, 3, bias=False)),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.residual(maps)


def make_patchgan(channels: int, width: int, depth: int) -> nn.Sequential:
    """Return `depth` convolutions that halve, one that does not, and the scores; the first has no norm."""
    widths = [width * min(2**halving, 8) for halving in range(depth + 1)]
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    for number in range(1, depth + 1):
        stride = 2 if number < depth else 1
        convolution = nn.Conv2d(widths[number - 1], widths[number], 4, stride, padding=1, bias=False)
        layers += instance_normalised(convolution, nn.LeakyReLU(0.2))
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, padding=1))


def patches_across(size: int, depth: int) -> int:
    """Return how many patches stand side by side in an image of `size` pixels."""
    return size // 2**depth - 2  # each of the two further layers has one fewer


def downsample_block(narrow: int, wide: int) -> nn.Conv2d:
    """Return a layer from (batch, narrow, 2n, 2n) to (batch, wide, n, n)."""
    return nn.Conv2d(narrow, wide, 3, stride=2, padding=1, bias=False)


def upsample_block(wide: int, narrow: int) -> nn.ConvTranspose2d:
    """Return a layer from (batch, wide, n, n) to (batch, narrow, 2n, 2n)."""
    return nn.ConvTranspose2d(wide, narrow, 3, stride=2, padding=1, output_padding=1, bias=False)


def instance_normalised(convolution: nn.Conv2d | nn.ConvTranspose2d, *activation: nn.Module) -> list[nn.Module]:
    """Return a convolution, without a bias that the norm would cancel, instance norm without weights, an activation."""
    return [convolution, nn.InstanceNorm2d(convolution.out_channels), *activation]
