"""What each of InfoGAN's codes does, by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from gan_lightning.game import Latent
from gan_lightning.priors import Prior
from gan_lightning.variants.infogan import InfoGANPrior

REACH = 2.0
"""Continuous codes go from -2 to 2, twice as far as training drew them, as in figure 2 of the paper: it shows more."""


def traversal(prior: Prior, columns: int, rng: torch.Generator) -> tuple[Latent, int, Tensor]:
    """A row for each code, in which it alone changes (Chen et al. 2016, figure 2).

    The first row shows the categories in their order, behind continuous codes of 0. Then comes a row for each
    continuous code, from -`REACH` to `REACH`, the others 0, of one category. The noise is the same everywhere; `rng`
    draws it, and that category.

    Args:
        prior: where latents come from.
        columns: latents in a row; more if there are more categories.
        rng: of all randomness.

    Returns:
        The latents row by row, how many stand in a row, and which of them are beyond the last category, to be left out
        of the picture, (rows * columns,).

    Raises:
        ValueError: `prior` draws no codes.
    """
    if not isinstance(prior, InfoGANPrior):
        raise ValueError(
            "traverse=true is for a model with learned codes, such as variant=infogan's, and this one has none: leave "
            "it out"
        )
    columns, rows = max(columns, prior.categories), 1 + prior.continuous
    noise = prior.noise(1, rng)
    labels = torch.randint(prior.categories, (1,), generator=rng, device=rng.device).repeat(rows, columns)
    labels[0] = torch.arange(columns, device=rng.device).clamp(max=prior.categories - 1)
    codes = torch.zeros(rows, columns, prior.continuous, device=rng.device)
    for code in range(prior.continuous):
        codes[1 + code, :, code] = torch.linspace(-REACH, REACH, columns)
    blank = torch.zeros(rows, columns, dtype=torch.bool)
    blank[0, prior.categories :] = True
    latent = prior.from_codes(noise.expand(rows * columns, -1), labels.flatten(), codes.flatten(0, 1))
    return latent, columns, blank.flatten()
