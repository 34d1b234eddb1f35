"""Samples of a trained generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from gan_lightning.game import Latent
    from gan_lightning.gan import GAN


BATCH_SIZE = 500


class Samples(NamedTuple):
    """What was generated: `images`, or other samples, (count, ...); `labels` of them; `columns` of a picture."""

    images: Tensor
    labels: Tensor | None
    columns: int | None


def generate_samples(
    gan: GAN, count: int, classes: Sequence[int] | None = None, truncation: float | None = None, rows: bool = False
) -> Samples:
    """Samples of the averaged generator, on the CPU, from the seed of `gan`.

    Args:
        gan: the game; `truncation` changes its prior.
        count: how many; about so many with `rows`.
        classes: as many of each of these, in order; None leaves the classes to the prior.
        truncation: the largest absolute value of Gaussian noise; None leaves it.
        rows: as they are to stand in a picture, see `latents`.

    Raises:
        ValueError: its prior cannot do what is asked.
    """
    latent, columns = sample_latents(gan, count, classes, truncation, rows)
    return Samples(generate_images(gan, latent), None if latent.labels is None else latent.labels.cpu(), columns)


def sample_latents(
    gan: GAN, count: int, classes: Sequence[int] | None, truncation: float | None, rows: bool = False
) -> tuple[Latent, int | None]:
    """The latents of `generate_samples`, and how many stand in a row of a picture."""
    from gan_lightning.randomness import generator_for
    from gan_lightning.sampling.latents import latents, truncate

    if truncation is not None:
        truncate(gan, truncation)
    return latents(gan.prior, count, generator_for(gan.seed, "samples", device=gan.device), classes, rows)


def generate_images(gan: GAN, latent: Latent) -> Tensor:
    """What the averaged generator makes of `latent`, on the CPU."""
    import torch

    from gan_lightning.utils.progress_bar import track

    starts = track(range(0, len(latent), BATCH_SIZE), "Generating")
    return torch.cat([gan.generate(latent[first : first + BATCH_SIZE]).cpu() for first in starts])
