"""From one sample to the next through the generator's latents."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from gan_lightning.game import Latent
from gan_lightning.priors import ClassConditional, Gaussian, Prior
from gan_lightning.sampling.latents import TruncatedGaussian
from gan_lightning.variants.infogan import InfoGANPrior

Record = TypeVar("Record", bound=Latent)

PARALLEL = 1e-6
"""Sine of an angle below which two vectors lie on one line, where a sphere has no one way from here to there."""


def closed_path(prior: Prior, keys: Latent, steps: int) -> Latent:
    """Latents on the way from each key to the next, and from the last back to the first; (keys * (steps + 1)).

    They come key by key: row i begins with key i itself, makes `steps` steps and ends at the noise of key i + 1. Its
    class is that of key i throughout, for there is nothing between two classes; where all keys ask for one class, the
    end of a row is the key that the next begins with.

    Args:
        prior: where the keys come from.
        keys: two or more.
        steps: from one key to the next.
    """
    count, first = len(keys), torch.arange(len(keys), device=keys.z.device).repeat_interleave(steps + 1)
    share = (torch.arange(steps + 1, device=keys.z.device) / steps).repeat(count)[:, None]
    return between(prior, taken(keys, first), taken(keys, (first + 1) % count), share)


def between(prior: Prior, start: Latent, end: Latent, share: Tensor) -> Latent:
    """What lies `share` (batch, 1) of the way from `start` to `end`, of the classes of `start`; both of `prior`."""
    if isinstance(prior, ClassConditional):
        assert start.labels is not None
        split = prior.source.dim
        noise = noise_between(prior.source, start.z[:, :split], end.z[:, :split], share)
        return prior.from_classes(noise, start.labels)
    if isinstance(prior, InfoGANPrior):
        assert start.labels is not None
        split, codes = prior.source.dim, prior.source.dim + prior.categories
        noise = noise_between(prior.source, start.z[:, :split], end.z[:, :split], share)
        return prior.from_codes(noise, start.labels, lerp(start.z[:, codes:], end.z[:, codes:], share))
    return replace(start, z=noise_between(prior, start.z, end.z, share))


def noise_between(prior: Prior, start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """On the sphere for Gaussian noise, on a line for any other; (batch, dim).

    The sphere bulges out of a truncation, by a factor of up to sqrt(2) in a coordinate: what lies beyond is put on the
    limit.
    """
    if isinstance(prior, TruncatedGaussian):
        return slerp(start, end, share).clamp(-prior.limit, prior.limit)
    return (slerp if isinstance(prior, Gaussian) else lerp)(start, end, share)


def lerp(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """On the line, exact at both ends."""
    return start * (1 - share) + end * share


def slerp(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """On the arc of a great circle, exact at both ends (White 2016, "Sampling Generative Networks", section 2.1).

    Gaussian noise of many dimensions lies near the sphere of radius sqrt(dim). The line between two samples leads
    through its inside, at half way to 1/sqrt(2) of the radius, where no noise of training ever was; the arc stays on
    it. Vectors on one line, as all of one dimension are, have no one arc: between them it is the line.

    Args:
        start: (batch, dim).
        end: (batch, dim).
        share: of the way, (batch, 1), from 0 to 1.
    """
    first, second = start.double(), end.double()
    cosine = torch.nn.functional.cosine_similarity(first, second, dim=1).clamp(-1, 1)[:, None]
    angle, along = cosine.acos(), share.double()
    sine = angle.sin()
    on_line = sine < PARALLEL
    sine = sine.where(~on_line, 1.0)
    here = torch.where(on_line, 1 - along, (angle * (1 - along)).sin() / sine)
    there = torch.where(on_line, along, (angle * along).sin() / sine)
    return (first * here + second * there).to(start)


def taken(latent: Record, rows: Tensor) -> Record:
    """The latents at `rows`, (count,) of int64."""
    columns: dict[str, Any] = {column.name: getattr(latent, column.name) for column in fields(latent)}
    columns = {name: values if values is None else values[rows] for name, values in columns.items()}
    return replace(latent, **columns)
