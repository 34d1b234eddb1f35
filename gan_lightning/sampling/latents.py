"""The latents that `sample.py` is asked for: arranged for a picture, of chosen classes, from truncated noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_lightning.game import Latent
from gan_lightning.priors import ClassConditional, Gaussian, Prior
from gan_lightning.utils.checks import check_positive


def latents(
    prior: Prior, count: int, rng: torch.Generator, classes: Sequence[int] | None = None, rows: bool = False
) -> tuple[Latent, int | None]:
    """`count` latents, and how many of them stand in a row of a picture.

    Args:
        prior: where they come from.
        count: how many; with `rows`, about so many.
        rng: of all randomness.
        classes: as many of each of these, in their order; None leaves the classes to the prior.
        rows: for a picture: as the prior arranges them, or with a class of `classes` in each row and the same noise
            down each column; else there are no rows, and every latent has noise of its own.

    Raises:
        ValueError: the prior draws no classes, or not these; or there are more of them than samples.
    """
    if classes is not None:
        return latents_of_classes(prior, count, rng, classes, rows)
    return prior.grid(count, rng) if rows else (prior.sample(count, rng), None)


def latents_of_classes(
    prior: Prior, count: int, rng: torch.Generator, classes: Sequence[int], rows: bool
) -> tuple[Latent, int | None]:
    """What `latents` gives for chosen classes."""
    asked = f"classes={list(classes)}"
    if not isinstance(prior, ClassConditional):
        raise ValueError(f"{asked} cannot be asked of this model, whose prior draws no classes: leave classes out")
    unknown = [kind for kind in classes if kind >= prior.num_classes]
    if unknown:
        raise ValueError(
            f"{asked} asks for {unknown}, which the model does not know: choose from 0 to {prior.num_classes - 1}"
        )
    if count < len(classes):
        raise ValueError(f"count={count} is fewer than the {len(classes)} classes: choose count={len(classes)} or more")
    labels = torch.tensor(classes, device=rng.device)
    if rows:
        columns = count // len(classes)
        noise = prior.noise(columns, rng).repeat(len(classes), 1)
        return prior.from_classes(noise, labels.repeat_interleave(columns)), columns
    turns = torch.arange(count, device=rng.device) * len(classes) // count
    return prior.from_classes(prior.noise(count, rng), labels[turns]), None


class TruncatedGaussian(Prior):
    """z ~ N(0, I), a coordinate beyond `limit` drawn again: truncation of Brock et al. 2019, "BigGAN", section 3.1.

    Samples become better and less various as `limit` falls.

    Args:
        dim: length of z.
        limit: the largest absolute value of a coordinate.

    Raises:
        ValueError: `limit` is not above 0.
    """

    def __init__(self, dim: int, limit: float) -> None:
        super().__init__(dim)
        self.limit = check_positive("truncation", limit)

    def noise(self, count: int, rng: torch.Generator) -> Tensor:
        z = torch.empty(count, self.dim, device=rng.device)
        return nn.init.trunc_normal_(z, a=-self.limit, b=self.limit, generator=rng)


def truncate(game: nn.Module, limit: float) -> None:
    """Truncate the Gaussian noise of a game, be it the prior's own or that of a prior within.

    Raises:
        ValueError: there is none, or `limit` is not above 0.
    """
    gaussian = [
        (holder, name, part)
        for holder in game.modules()
        for name, part in holder.named_children()
        if isinstance(part, Gaussian)
    ]
    if not gaussian:
        raise ValueError(f"truncation={limit} is for Gaussian noise, which this model is not fed: leave it out")
    for holder, name, part in gaussian:
        holder.add_module(name, TruncatedGaussian(part.dim, limit))
