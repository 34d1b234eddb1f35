"""DCGAN: strided convolutions and batch norm, no pooling, no dense hidden layers (Radford et al. 2016).

The published networks are for 64x64 pixels. Other sizes have more or fewer halvings, down to 4x4, or to 7x7 for 28x28.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from gan_lightning.game import DiscriminatorOutput, Latent
from gan_lightning.models.layers import make_norm

COARSEST = {28: 7, 32: 4, 64: 4, 128: 4}
"""Image size to the size of the smallest feature maps, both in pixels."""


class DCGANGenerator(nn.Module):
    """Noise projected to the smallest feature maps, then a transposed convolution a doubling, with batch norm and ReLU.

    Args:
        latent_dim: length of the noise z.
        shape: of an image, (channels, size, size): 1 or 3 channels, size 28, 32, 64 or 128 pixels.
        width: channels of the largest hidden feature maps; they double with each halving. The published 64x64 network
            has 128.

    Raises:
        ValueError: another shape, or no channels.
    """

    def __init__(self, latent_dim: int, shape: Sequence[int], width: int = 64) -> None:
        super().__init__()
        coarsest, widths = pyramid(shape, width)
        self.project = nn.Sequential(
            nn.Linear(latent_dim, widths[-1] * coarsest**2, bias=False),
            nn.Unflatten(1, (widths[-1], coarsest, coarsest)),
            nn.BatchNorm2d(widths[-1]),
            nn.ReLU(),
        )
        self.upsample = nn.Sequential(*(doubling(wide, narrow) for wide, narrow in pairwise(reversed(widths))))
        self.paint = nn.Sequential(nn.ConvTranspose2d(width, shape[0], 4, stride=2, padding=1), nn.Tanh())
        self.apply(initialise)

    def forward(self, latent: Latent) -> Tensor:
        """Images in [-1, 1], (batch, *shape)."""
        return self.paint(self.upsample(self.project(latent.z)))


class DCGANDiscriminator(nn.Module):
    """The generator's mirror image: a strided convolution a halving, leaky ReLU of slope .2, norm but in the first.

    Args:
        shape: of an image, as for the generator.
        width: channels of the largest hidden feature maps; they double with each halving.
        norm: `batch`, as published; `layer`, for losses that need each sample judged by itself; or `none`.

    Raises:
        ValueError: another shape or norm, or no channels.
    """

    def __init__(self, shape: Sequence[int], width: int = 64, norm: str = "batch") -> None:
        super().__init__()
        coarsest, widths = pyramid(shape, width)
        self.look = nn.Sequential(nn.Conv2d(shape[0], width, 4, stride=2, padding=1), nn.LeakyReLU(0.2))
        self.downsample = nn.Sequential(*(halving(narrow, wide, norm) for narrow, wide in pairwise(widths)))
        self.score = nn.Sequential(nn.Flatten(), nn.Linear(widths[-1] * coarsest**2, 1))
        self.apply(initialise)

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        """Logits (batch,) of images (batch, *shape); features are the smallest maps, (batch, channels, size, size)."""
        features = self.downsample(self.look(samples))
        return DiscriminatorOutput(self.score(features).squeeze(1), features)


def pyramid(shape: Sequence[int], width: int) -> tuple[int, list[int]]:
    """Size of the smallest feature maps in pixels, and the channels of all of them, largest maps first.

    Raises:
        ValueError: the networks are not made for images of this shape, or `width` is below 1.
    """
    channels, size, other = shape if len(shape) == 3 else (0, 0, 0)
    if channels not in (1, 3) or size not in COARSEST or size != other:
        raise ValueError(
            "model=dcgan makes square images of 28, 32, 64 or 128 pixels with 1 or 3 channels, "
            f"not data.shape={list(shape)}"
        )
    if width < 1:
        raise ValueError(f"width of model.generator and model.discriminator must be at least 1 channel, not {width}")
    halvings = (size // COARSEST[size]).bit_length() - 1
    return COARSEST[size], [width * 2**halving for halving in range(halvings)]


def doubling(wide: int, narrow: int) -> nn.Sequential:
    """(batch, wide, n, n) to (batch, narrow, 2n, 2n). No bias: the norm would cancel it."""
    convolution = nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(narrow), nn.ReLU())


def halving(narrow: int, wide: int, norm: str) -> nn.Sequential:
    """(batch, narrow, 2n, 2n) to (batch, wide, n, n). A bias only where no norm would cancel it."""
    normalise = make_norm(norm, wide)
    bias = isinstance(normalise, nn.Identity)
    return nn.Sequential(nn.Conv2d(narrow, wide, 4, stride=2, padding=1, bias=bias), normalise, nn.LeakyReLU(0.2))


def initialise(module: nn.Module) -> None:
    """Weights ~ N(0, .02) (Radford et al. 2016, section 4), scales of norms ~ N(1, .02), biases 0 (their code)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
        nn.init.normal_(module.weight, 1.0, 0.02)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
