"""Residual networks of SNGAN and, with self-attention, of SAGAN (Miyato et al. 2018; Zhang et al. 2019).

The published networks are those of SNGAN's table 4, for 32x32 pixels. Images of 28x28 start from 7x7 maps in the
generator; larger ones have more blocks of the same width, see `layers.smallest_maps`. A 1x1 convolution in a shortcut
runs on the smaller side of a resampling: the result is the same for a quarter of the work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from math import prod, sqrt
from typing import TypeVar

from torch import Tensor, nn
from torch.nn.functional import interpolate, one_hot, relu

from gan_lightning.game import DiscriminatorOutput, Latent
from gan_lightning.models.attention import SelfAttention, attention_halvings
from gan_lightning.models.layers import check_width, smallest_maps
from gan_lightning.models.normalization import ConditionalBatchNorm, spectrally_normalised
from gan_lightning.utils.checks import check_int

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)

MODEL = "resnet (and sagan)"
"""What these networks are called in messages."""


class ResNetGenerator(nn.Module):
    """Noise projected to the smallest maps, a residual block for each doubling, batch norm, ReLU and a convolution.

    Args:
        latent_dim: length of the noise z.
        shape: of an image, (channels, height, width): 1 or 3 channels, a size that `smallest_maps` can halve.
        width: channels of all feature maps. SNGAN has 256.
        spectral_norm: divide each weight by its largest singular value. SAGAN does.
        attention: self-attention at a quarter of the size of the image, see `attention_halvings`, as in SAGAN.
        num_classes: number of classes of a class-conditional generator, whose batch norms have a gain and bias for each
            class, as in Miyato and Koyama 2018 and SAGAN. None: an unconditional generator.

    Raises:
        ValueError: another shape, no channels, or no classes.
    """

    def __init__(
        self,
        latent_dim: int,
        shape: Sequence[int],
        width: int = 256,
        spectral_norm: bool = False,
        attention: bool = False,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        coarsest, doublings = smallest_maps(MODEL, shape)
        check_width(width)
        self.num_classes = None if num_classes is None else check_int("model.generator.num_classes", num_classes)
        blocks: list[nn.Module] = [
            ResBlockUp(width) if num_classes is None else ConditionalResBlockUp(width, width, num_classes)
            for _ in range(doublings)
        ]
        if attention:
            blocks.insert(-attention_halvings(shape, fewest=2), SelfAttention(width))
        self.input_projection = nn.Sequential(
            xavier(nn.Linear(latent_dim, width * prod(coarsest))), nn.Unflatten(1, (width, *coarsest))
        )
        self.upsample = nn.Sequential(*blocks)
        self.to_rgb = nn.Sequential(
            nn.BatchNorm2d(width), nn.ReLU(), xavier(nn.Conv2d(width, shape[0], 3, padding=1)), nn.Tanh()
        )
        if spectral_norm:
            # The gains and biases of classes are spared: they start at 0, where there is nothing to divide.
            spectrally_normalised(self, [norm for norm in self.modules() if isinstance(norm, ConditionalBatchNorm)])

    def forward(self, latent: Latent) -> Tensor:
        """Return images in [-1, 1], (batch, *shape).

        Raises:
            ValueError: the generator is class-conditional, and the latent has no labels.
        """
        maps = self.input_projection(latent.z)
        if self.num_classes is None:
            return self.to_rgb(self.upsample(maps))
        classes = one_hot(require_labels(latent), self.num_classes).float()
        return self.to_rgb(run_conditional(self.upsample, maps, repeat(classes)))


class ResNetDiscriminator(nn.Module):
    """Residual blocks, one for each halving, then two more, ReLU, a sum over places, a score.

    Maps are halved down to 7 pixels or more on the shorter side: to 8x8 for 32x32 and 64x64, to 7x7 for 28x28.

    Args:
        shape: of an image, as for the generator.
        width: channels of all feature maps. SNGAN has 128.
        spectral_norm: divide each weight by its largest singular value, as published.
        attention: self-attention at a quarter of the size of the image, see `attention_halvings`, as in SAGAN.

    Raises:
        ValueError: another shape, or no channels.
    """

    def __init__(
        self, shape: Sequence[int], width: int = 128, spectral_norm: bool = True, attention: bool = False
    ) -> None:
        super().__init__()
        coarsest, halvings = smallest_maps(MODEL, shape)
        check_width(width)
        blocks: list[nn.Module] = []
        for done in range(1, halvings + (min(coarsest) >= 7)):
            blocks.append(ResBlockDown(shape[0] if done == 1 else width, width, first=done == 1))
        if attention:
            blocks.insert(attention_halvings(shape, fewest=2), SelfAttention(width))
        blocks += [ResBlock(width, width) for _ in range(2)]
        self.blocks = nn.Sequential(*blocks, nn.ReLU())
        self.score = xavier(nn.Linear(width, 1, bias=False))
        if spectral_norm:
            spectrally_normalised(self)

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        """Return logits (batch,) of images (batch, *shape).

        Features are the last maps summed over places, (batch, width).
        """
        features = self.blocks(samples).sum((2, 3))
        return DiscriminatorOutput(self.score(features).squeeze(1), features)


class ResBlockUp(nn.Module):
    """(batch, width, n, n) to (batch, width, 2n, 2n), with batch norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            residual_convolution(width, width),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            residual_convolution(width, width),
        )
        self.shortcut = nn.Sequential(xavier(nn.Conv2d(width, width, 1)), nn.Upsample(scale_factor=2))

    def forward(self, maps: Tensor) -> Tensor:
        return self.shortcut(maps) + self.residual(maps)


class ConditionalResBlockUp(nn.Module):
    """(batch, inputs, n, n) to (batch, outputs, 2n, 2n): `ResBlockUp` with conditional batch norm."""

    def __init__(self, inputs: int, outputs: int, condition_dim: int) -> None:
        super().__init__()
        self.first_norm = ConditionalBatchNorm(inputs, condition_dim)
        self.first = residual_convolution(inputs, outputs)
        self.second_norm = ConditionalBatchNorm(outputs, condition_dim)
        self.second = residual_convolution(outputs, outputs)
        self.shortcut = nn.Sequential(xavier(nn.Conv2d(inputs, outputs, 1)), nn.Upsample(scale_factor=2))

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        hidden = self.first(interpolate(relu(self.first_norm(maps, condition)), scale_factor=2))
        hidden = self.second(relu(self.second_norm(hidden, condition)))
        return self.shortcut(maps) + hidden


def run_conditional(layers: Iterable[nn.Module], maps: Tensor, conditions: Iterable[Tensor]) -> Tensor:
    """Run `layers` on `maps`; each conditional block takes the next of `conditions`."""
    remaining = iter(conditions)
    for layer in layers:
        maps = layer(maps, next(remaining)) if isinstance(layer, ConditionalResBlockUp) else layer(maps)
    return maps


def require_labels(latent: Latent) -> Tensor:
    """Return the labels of `latent`, (batch,) of int64.

    Raises:
        ValueError: it has none.
    """
    if latent.labels is None:
        raise ValueError(
            "the generator is class-conditional, and the latents have no labels: choose a prior that draws "
            "classes, such as prior=labelled"
        )
    return latent.labels


class ResBlockDown(nn.Module):
    """(batch, inputs, 2n, 2n) to (batch, width, n, n). The `first` takes images, and has no ReLU before them."""

    def __init__(self, inputs: int, width: int, first: bool = False) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Identity() if first else nn.ReLU(),
            residual_convolution(inputs, width),
            nn.ReLU(),
            residual_convolution(width, width),
            nn.AvgPool2d(2),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), xavier(nn.Conv2d(inputs, width, 1)))

    def forward(self, maps: Tensor) -> Tensor:
        return self.shortcut(maps) + self.residual(maps)


class ResBlock(nn.Module):
    """(batch, inputs, n, n) to (batch, width, n, n); a convolution of 1x1 in the shortcut where these differ."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.ReLU(), residual_convolution(inputs, width), nn.ReLU(), residual_convolution(width, width)
        )
        self.shortcut = nn.Identity() if inputs == width else xavier(nn.Conv2d(inputs, width, 1))

    def forward(self, maps: Tensor) -> Tensor:
        return self.shortcut(maps) + self.residual(maps)


def residual_convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 3x3 convolution, initialised for the ReLU before it."""
    return xavier(nn.Conv2d(inputs, outputs, 3, padding=1), sqrt(2))


def xavier(layer: Layer, gain: float = 1.0) -> Layer:
    """Set Xavier's uniform weights times `gain` and a bias of 0, as in the authors' code, and return `layer`."""
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
