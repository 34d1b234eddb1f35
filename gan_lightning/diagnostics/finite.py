"""Numbers of a game that are not finite, and the largest of its weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from gan_lightning.gan import GAN

NETWORKS = ("generator", "discriminator", "averaged_generator")


def not_finite(gan: GAN) -> str | None:
    """Return where a weight, a running statistic or an objective's state is not finite; None: all are finite."""
    return bad_network(gan, largest_weights(gan)) or bad_objective(gan)


def largest_weights(gan: GAN) -> dict[str, float]:
    """Return the largest absolute weight of each network, by name; one that is not finite makes it so."""
    return {name: largest(getattr(gan, name).parameters()) for name in NETWORKS}


def bad_network(gan: GAN, weights: Mapping[str, float]) -> str | None:
    """Return the first network in which a weight (see `largest_weights`) or running statistic is not finite."""
    for name in NETWORKS:
        if not math.isfinite(weights[name]) or not math.isfinite(largest(getattr(gan, name).buffers())):
            return f"a number in the {name.replace('_', ' ')}"
    return None


def bad_objective(gan: GAN) -> str | None:
    """Return the first objective whose state is not finite."""
    for name, part in gan.objectives.items():
        if not math.isfinite(largest([*part.parameters(), *part.buffers()])):
            return f"a number in the objective {name}"
    return None


def bad_loss(gan: GAN) -> str | None:
    """Return the first of the last step's losses that is not finite."""
    if not gan.losses or torch.stack([loss.float() for loss in gan.losses.values()]).isfinite().all():
        return None
    return next(f"the loss {name}" for name, loss in gan.losses.items() if not loss.isfinite())


def largest(values: Iterable[Tensor]) -> float:
    """Return the largest absolute number in `values`, which cannot overflow as a sum of squares would; 0 of none."""
    numbers = [value.detach() for value in values if value.is_floating_point()]
    return torch.nn.utils.get_total_norm(numbers, math.inf).item()
