"""From one sample to the next through the generator's latents."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from gan_lightning.game import Latent
from gan_lightning.priors import Prior

Record = TypeVar("Record", bound=Latent)


def closed_path(prior: Prior, keys: Latent, steps: int) -> Latent:
    """Return latents on the way from each key to the next, and from the last back to the first.

    They come key by key: row i begins with key i itself, makes `steps` steps and ends at the noise of key i + 1. Its
    class is that of key i throughout, for there is nothing between two classes; where all keys are of one class, the
    end of a row is the key that the next begins with.

    Args:
        prior: where the keys come from.
        keys: two or more.
        steps: from one key to the next.

    Returns:
        (keys * (steps + 1)) latents.
    """
    count, first = len(keys), torch.arange(len(keys), device=keys.z.device).repeat_interleave(steps + 1)
    share = (torch.arange(steps + 1, device=keys.z.device) / steps).repeat(count)[:, None]
    return prior.interpolate(select_rows(keys, first), select_rows(keys, (first + 1) % count), share)


def select_rows(latent: Record, rows: Tensor) -> Record:
    """Return the latents at `rows`, (count,) of int64."""
    columns: dict[str, Any] = {column.name: getattr(latent, column.name) for column in fields(latent)}
    columns = {name: values if values is None else values[rows] for name, values in columns.items()}
    return replace(latent, **columns)
