"""A probe of the training state from a few samples, without side effects."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn

from gan_lightning.data.base import RealData
from gan_lightning.game import Batch, Latent, Round, discriminate, loss_terms
from gan_lightning.gan import GAN
from gan_lightning.randomness import Noise, reseed, seed_of
from gan_lightning.schedules import frozen

ENDS = 0.99
"""How far from the middle of its range, as a share of the half of it, a value counts as being at an end."""

FEWEST = 8
"""Fewest samples whose distances measure diversity."""


@dataclass(frozen=True)
class Scores:
    """The discriminator's scores of a few real samples and fakes, and the generator's gradient from them.

    Attributes:
        separation: share of pairs in which the real sample scores higher, in [0, 1]; .5 is chance.
        spread: standard deviation of all scores.
        level: mean of the scores' absolute values.
        relative_slope: how much of the generator's loss a fake could gain by a move along the gradient, as long as the
            distance from fakes to data, in units of the difference of data's and fakes' mean scores. About 1 for a
            score that changes evenly between them. None where the loss does not depend on the fakes.
    """

    separation: float
    spread: float
    level: float
    relative_slope: float | None


@dataclass(frozen=True)
class Probe:
    """The training state, as a few samples show it.

    Attributes:
        diversity: mean distance between two fakes over that between two real samples; None for too few samples.
        distance: mean distance from a fake to a real sample over that between two real samples; None likewise.
        fake_inside, real_inside: share of values that are not at the ends of their range; None without a range.
        scores: the discriminator's.
    """

    diversity: float | None
    distance: float | None
    fake_inside: float | None
    real_inside: float | None
    scores: Scores


def probe(gan: GAN, batch: Batch, value_range: tuple[float, ...] | None) -> Probe:
    """Return the state of `gan`, by a few data, with their classes, and as many fakes, from the same latents each time.

    Scores are those of training mode: with batch norm, the discriminator that the generator trains against normalises
    data and fakes each by their own batch. All else is of the generator in evaluation mode.
    """
    real = batch[0]
    latent = gan.fixed_latents(len(real), "health")
    with in_mode(gan, training=False), torch.no_grad():
        fake = gan.generator(latent).float()
    with in_mode(gan, training=True):
        with torch.no_grad():
            played = gan.generator(latent).float()
        found = scores(gan, batch, played, latent)
    return Probe(
        diversity=diversity(real, fake),
        distance=distance_to(real, fake),
        fake_inside=None if value_range is None else inside(fake, value_range),
        real_inside=None if value_range is None else inside(real, value_range),
        scores=found,
    )


@contextmanager
def in_mode(gan: GAN, training: bool) -> Iterator[None]:
    """Run both networks in training or evaluation mode, uncompiled and without autocast; afterwards all is as it was.

    Running statistics, the vectors of spectral norm, random states, gradients and modes are put back. Random layers
    draw the same numbers each time.
    """
    players, device = (gan.generator, gan.discriminator), gan.device
    before = [(player.training, player._compiled_call_impl) for player in players]
    buffers = [(buffer, buffer.clone()) for player in players for buffer in player.buffers()]
    with torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda"):
        reseed(device, seed_of(gan.seed, "probe"))
        for player in players:
            player.train(training)
            player._compiled_call_impl = None
        try:
            with frozen(gan.discriminator_weights), torch.autocast(device.type, enabled=False):
                yield
        finally:
            for player, (was_training, compiled) in zip(players, before, strict=True):
                player.train(was_training)
                player._compiled_call_impl = compiled
            with torch.no_grad():
                for buffer, value in buffers:
                    buffer.copy_(value)


def diversity(real: Tensor, fake: Tensor) -> float | None:
    """Return the mean distance between two of `fake` over that between two of `real`, both (count, ...)."""
    if len(real) < FEWEST:
        return None
    apart = distance_within(real)
    return distance_within(fake) / apart if apart > 0 else None


def distance_at_start(gan: GAN, batch: Batch) -> float | None:
    """Return `distance` of a probe of `gan` and the real samples of `batch`, without its other parts."""
    with in_mode(gan, training=False), torch.no_grad():
        return distance_to(batch[0], gan.generator(gan.fixed_latents(len(batch[0]), "health")).float())


def distance_to(real: Tensor, fake: Tensor) -> float | None:
    """Return the mean distance from one of `fake` to one of `real`, both (count, ...), over that within `real`.

    It is None for too few samples, and for real samples that are all alike.
    """
    if len(real) < FEWEST:
        return None
    apart = distance_within(real)
    return torch.cdist(real.flatten(1), fake.flatten(1)).mean().item() / apart if apart > 0 else None


def distance_within(samples: Tensor) -> float:
    """Return the mean distance between two of `samples` (count, ...), of which there are at least two."""
    rows, count = samples.flatten(1), len(samples)
    # Not `pdist`, which Apple's GPUs do not have; nor by products, whose rounding sets equal samples apart.
    apart = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    return apart.sum().item() / (count * (count - 1))


def inside(samples: Tensor, value_range: tuple[float, ...]) -> float:
    """Return the share of the values that are not at the ends of their range."""
    low, high = value_range
    return ((2 * samples - low - high).abs() <= ENDS * (high - low)).float().mean().item()


def scores(gan: GAN, batch: Batch, fake: Tensor, latent: Latent) -> Scores:
    """Return the discriminator's scores and the generator's gradient from them; see `Scores`."""
    real, labels = batch
    with torch.no_grad():
        of_real = discriminate(gan.discriminator, real, labels).logits.float()
        of_fake = discriminate(gan.discriminator, fake, latent.labels).logits.float()
    every = torch.cat([of_real, of_fake])
    higher = (of_real[:, None] > of_fake).float().mean() + 0.5 * (of_real[:, None] == of_fake).float().mean()
    slope, gap = slope_at_fakes(gan, batch, fake, latent), (of_real.mean() - of_fake.mean()).abs().item()
    way = torch.cdist(real.flatten(1), fake.flatten(1)).mean().item()
    return Scores(
        separation=higher.item(),
        spread=every.std(correction=0).item(),
        level=every.abs().mean().item(),
        relative_slope=None if slope is None else slope * way / gap if gap > 0 else math.inf,
    )


def slope_at_fakes(gan: GAN, batch: Batch, fake: Tensor, latent: Latent) -> float | None:
    """Return the mean norm of the gradient of the generator's loss at a fake, as if each fake had its own loss."""
    with torch.enable_grad():
        fake = fake.detach().requires_grad_()
        noise = Noise(gan.seed, "health", gan.discriminator_updates)
        round = Round(
            gan.generator, gan.discriminator, latent, batch[0], fake, batch[1], gan.discriminator_updates, noise
        )
        terms = [term.float() for term in loss_terms(gan.objectives, "generator", round).values()]
        if not any(term.requires_grad for term in terms):
            return None
        (gradient,) = torch.autograd.grad(reduce(add, terms), fake, allow_unused=True)
    return None if gradient is None else len(fake) * gradient.flatten(1).norm(dim=1).mean().item()


def batch_for(discriminator: nn.Module, available: int) -> int:
    """Return the largest batch of `available` samples that divides into its packs; 0 for fewer than two packs."""
    pack = math.prod(getattr(part, "pack", 1) for part in discriminator.modules())
    return available - available % pack if available >= 2 * pack else 0


def spread_samples(data: RealData, device: torch.device, count: int) -> Batch:
    """Return `count` reference samples, or all where there are fewer, with their classes.

    They are evenly spaced from the first to the last: the first few of a folder are of one class.
    """
    size = data.reference_size
    rows = [index * size // count for index in range(count)] if count < size else range(size)
    # To one device of as many as there are samples, a sample each.
    batches = [next(iter(data.labelled_reference_batches(device, row, world_size=size, batch_size=1))) for row in rows]
    labels = [label for _, label in batches if label is not None]
    return torch.cat([samples for samples, _ in batches]), torch.cat(labels) if labels else None
