"""Samples of a trained generator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gan_lightning.game import Latent
from gan_lightning.gan import GAN
from gan_lightning.priors import Prior, spread_labels
from gan_lightning.randomness import generator_for
from gan_lightning.utils.progress_bar import track

BATCH_SIZE = 500
"""Samples generated at a time."""


def sampling_rng(gan: GAN, seed: int) -> torch.Generator:
    """Return the generator of random numbers that latents of samples are drawn with."""
    return generator_for(seed, "samples", device=gan.device)


def truncated_prior(gan: GAN, truncation: float | None) -> Prior:
    """Return the prior of `gan`, or where `truncation` is not None a truncated one."""
    return gan.prior if truncation is None else gan.prior.truncated(truncation)


def sample_latents(
    prior: Prior, count: int, rng: torch.Generator, labels: Sequence[int] | None = None, grid: bool = False
) -> tuple[Latent, int | None]:
    """Return `count` latents, and how many of them stand in a row of an image grid.

    Args:
        prior: where they come from.
        count: how many; with `grid`, about so many.
        rng: of all randomness.
        labels: classes, as many latents of each of them, in order; None leaves them to the prior.
        grid: arrange them for an image grid: as the prior does it, or with a class of `labels` in each row and the same
            noise down each column. Else there are no rows, and every latent has noise of its own.

    Raises:
        ValueError: the prior is not class-conditional or does not have these classes; or there are more of them than
            samples.
    """
    spread = None if labels is None else spread_labels(labels, count)
    return prior.grid(count, rng, labels) if grid else (prior.sample(count, rng, spread), None)


def generate_images(gan: GAN, latent: Latent) -> Tensor:
    """Return the averaged generator's samples of `latent`, on the CPU."""
    starts = track(range(0, len(latent), BATCH_SIZE), "Generating")
    return torch.cat([gan.generate(latent[first : first + BATCH_SIZE]).cpu() for first in starts])
