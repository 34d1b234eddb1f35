"""Autoencoder as a discriminator: its reconstruction error is the energy (Zhao et al. 2017, Berthelot et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from gan_lightning.losses.energy import EnergyOutput
from gan_lightning.models.dcgan import DCGANGenerator, channel_schedule, downsample_block
from gan_lightning.models.layers import check_width, make_norm, smallest_maps
from gan_lightning.models.mlp import MLPGenerator, hidden_layers
from gan_lightning.utils.checks import check_int

HIDDEN_LAYERS = 2
"""Hidden layers of each perceptron, where samples are vectors."""


def make_generator(
    latent_dim: int, shape: Sequence[int], value_range: Sequence[float] | None, width: int = 32
) -> DCGANGenerator | MLPGenerator:
    """Return a generator to match an `Autoencoder`: DCGAN's for images, a multilayer perceptron for vectors.

    Args:
        latent_dim: length of the noise z.
        shape: of a sample, as for the `Autoencoder`.
        value_range: of the data, (-1, 1) or None for unbounded vectors.
        width: channels of the largest hidden feature maps, or a quarter of the units in a hidden layer.

    Raises:
        ValueError: another shape, or no channels.
    """
    if len(shape) != 1:
        smallest_maps("autoencoder", shape)
        return DCGANGenerator(latent_dim, shape, width)
    return MLPGenerator(latent_dim, shape, value_range, 4 * width, HIDDEN_LAYERS)


class Autoencoder(nn.Module):
    """Encodes a sample, reconstructs it from the code, and takes the reconstruction error as the sample's energy.

    Images pass through strided convolutions and back, vectors through perceptrons without norm. Reconstructions are not
    bounded.

    Args:
        shape: of a sample: (channels, height, width) with 1 or 3 channels and a size that `smallest_maps` can halve,
            or (values,).
        code_dim: length of the code.
        width: channels of the largest hidden feature maps, which double with each halving; or a quarter of the units in
            a hidden layer.
        norm: of feature maps, but for the first: `batch`, `layer` or `none`.
        error: the energy is the mean, over the values of a sample, of `squared` differences, as in EBGAN, or of
            `absolute` ones, as in BEGAN.

    Raises:
        ValueError: another shape, norm or error, or no channels.
    """

    def __init__(
        self, shape: Sequence[int], code_dim: int = 64, width: int = 32, norm: str = "batch", error: str = "squared"
    ) -> None:
        super().__init__()
        check_width(width)
        check_int("model.discriminator.code_dim", code_dim)
        if error not in ("squared", "absolute"):
            raise ValueError(f"model.discriminator.error={error} is unknown: choose squared or absolute")
        self.error = error
        if len(shape) == 1:
            self.encode, self.decode = mlp_autoencoder(shape[0], code_dim, 4 * width)
        else:
            self.encode, self.decode = conv_autoencoder(shape, code_dim, width, norm)

    def forward(self, samples: Tensor) -> EnergyOutput:
        """Return minus energies as logits (batch,) of samples (batch, *shape).

        Features are the codes, (batch, code_dim).
        """
        codes = self.encode(samples)
        differences = (self.decode(codes).float() - samples.float()).flatten(start_dim=1)
        errors = differences.square() if self.error == "squared" else differences.abs()
        return EnergyOutput(-errors.mean(dim=1), codes)


def conv_autoencoder(shape: Sequence[int], code_dim: int, width: int, norm: str) -> tuple[nn.Sequential, nn.Sequential]:
    """Return an encoder and a decoder of images, with one strided convolution for each halving or doubling."""
    coarsest, widths = channel_schedule(shape, width, "autoencoder")
    values = widths[-1] * prod(coarsest)
    encoder = nn.Sequential(
        nn.Conv2d(shape[0], width, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        *(downsample_block(narrow, wide, norm) for narrow, wide in pairwise(widths)),
        nn.Flatten(),
        nn.Linear(values, code_dim),
    )
    decoder = nn.Sequential(
        nn.Linear(code_dim, values),
        nn.Unflatten(1, (widths[-1], *coarsest)),
        nn.LeakyReLU(0.2),
        *(upsample_block(wide, narrow, norm) for wide, narrow in pairwise(reversed(widths))),
        nn.ConvTranspose2d(width, shape[0], 4, stride=2, padding=1),
    )
    return encoder, decoder


def upsample_block(wide: int, narrow: int, norm: str) -> nn.Sequential:
    """Return a block from (batch, wide, n, n) to (batch, narrow, 2n, 2n), with a bias only where no norm cancels it."""
    normalise = make_norm(norm, narrow)
    bias = isinstance(normalise, nn.Identity)
    return nn.Sequential(
        nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1, bias=bias), normalise, nn.LeakyReLU(0.2)
    )


def mlp_autoencoder(values: int, code_dim: int, units: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Return an encoder and a decoder of vectors."""
    encoder = nn.Sequential(hidden_layers(values, units, HIDDEN_LAYERS, "LeakyReLU"), nn.Linear(units, code_dim))
    decoder = nn.Sequential(hidden_layers(code_dim, units, HIDDEN_LAYERS, "LeakyReLU"), nn.Linear(units, values))
    return encoder, decoder
