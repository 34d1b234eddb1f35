"""Trained weights in a new run: those of both players and of the averaged generator (transfer learning).

Optimizers, counters, the state of objectives and the best metric begin anew. The first layers of the discriminator may
be frozen (Mo et al. 2020, "Freeze the Discriminator: a Simple Baseline for Fine-Tuning GANs").
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from gan_lightning.gan import GAN
from gan_lightning.models.cyclegan import PatchGANPair
from gan_lightning.runs.checkpoints import read_checkpoint
from gan_lightning.runs.init_networks import source_of
from gan_lightning.trainer.ranks import started_as_rank_zero
from gan_lightning.utils.errors import UserError
from gan_lightning.wrappers.base import Wrapper

log = logging.getLogger(__name__)

NETWORKS = ("generator.", "discriminator.", "averaged_generator.")

MOST_LISTED = 20
"""Weights that one message names."""


def start_from(gan: GAN, settings: Mapping[str, Any], *, resuming: bool) -> None:
    """Give a GAN the weights of `init_from`, and freeze layers of its discriminator by `freeze_discriminator`.

    The average of a trained generator needs no ramp-up, by which it would forget its start.

    Args:
        gan: changed in place.
        settings: of the run, plain.
        resuming: its weights come from its own checkpoint; layers are frozen all the same.

    Raises:
        UserError: there are no such weights, or they are those of other networks.
    """
    if settings["init_from"] is None:
        return
    gan.averaging.ramp_up = None
    if not resuming:
        file = source_of(str(settings["init_from"]))
        content = read_checkpoint(file)
        fresh = take_weights(gan, content["state_dict"], settings["init_fresh"], file)
        made = content["game"]["iterations"]
        left = f"; {len(fresh)} weights begin as they are initialised" if fresh else ""
        if started_as_rank_zero():
            log.info(f"starts from the weights of {file}, trained for {made} iterations{left}")
    freeze_layers(gan.discriminator, settings["freeze_discriminator"])


@torch.no_grad()
def take_weights(gan: GAN, weights: Mapping[str, Tensor], fresh: Sequence[str], file: Path) -> list[str]:
    """Copy the weights of both players and of the averaged generator into `gan`.

    Wrappers of the discriminator, such as augmentation, may come and go; the state that they keep begins anew.

    Args:
        gan: changed in place, if all fits.
        weights: the state of a GAN, by names.
        fresh: names, or patterns of names, of weights that are not taken. Those of the generator are its average's too.
        file: to name in messages.

    Returns:
        The weights of both players that are there and were not taken.

    Raises:
        UserError: some are in one of the two alone, or of other shapes, and `fresh` does not name them.
    """
    given = {plain_name(name): weight for name, weight in weights.items() if name.startswith(NETWORKS)}
    own = {plain_name(name): weight for name, weight in gan.state_dict().items() if name.startswith(NETWORKS)}
    for name in state_of_wrappers(gan.discriminator):
        given.pop(name, None)
        own.pop(name)
    # A number alone that this GAN does not have is the state of a wrapper that it does without.
    names = [name for name in {**own, **given} if name in own or given[name].dim()]
    left = [name for name in names if any(fnmatchcase(name.removeprefix("averaged_"), pattern) for pattern in fresh)]
    taken = [name for name in names if name not in left]
    if other := [name for name in taken if shape_in(given, name) != shape_in(own, name)]:
        raise UserError(other_networks(file, other, given, own))
    for name in taken:
        own[name].copy_(given[name])
    return [name for name in left if name in own and not name.startswith("averaged_")]


def plain_name(name: str) -> str:
    """Return the name of a weight without the wrappers around the discriminator: ``network`` is the wrapped one."""
    return re.sub(r"^discriminator\.(network\.)+", "discriminator.", name)


def state_of_wrappers(discriminator: nn.Module) -> list[str]:
    """Return the plain names of what wrappers keep beside weights, such as the probability of augmentation."""
    names = []
    while isinstance(discriminator, Wrapper):
        names += [f"discriminator.{name}" for name, _ in discriminator.named_buffers(recurse=False)]
        discriminator = discriminator.network
    return names


def shape_in(weights: Mapping[str, Tensor], name: str) -> str:
    """Return the shape of a weight in words; that it is not there where it is not."""
    return str(list(weights[name].shape)) if name in weights else "not there"


def other_networks(file: Path, names: Sequence[str], given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """Return the sentence on the weights `names`, which differ between a checkpoint and the networks of now."""
    names = list(dict.fromkeys(name.removeprefix("averaged_") for name in names))
    lines = [f"{name} was {shape_in(given, name)} and is now {shape_in(own, name)}" for name in names[:MOST_LISTED]]
    more = [f"and {len(names) - MOST_LISTED} more"] if len(names) > MOST_LISTED else []
    layers = dict.fromkeys(f"{name.rpartition('.')[0]}.*" for name in names)
    return (
        f"{file} has other networks than these settings: {'; '.join([*lines, *more])}. Leave out what changes them, or "
        f"let these begin as they are initialised with 'init_fresh=[{','.join(layers)}]'"
    )


def freeze_layers(discriminator: nn.Module, count: int) -> None:
    """Let no gradient reach the weights of the first `count` layers of a discriminator, those nearest the image.

    A layer is a convolution or a linear map, with all that follows it until the next one. Running statistics of batch
    norm and spectral norm still follow what the layers are given.

    Raises:
        UserError: it does not have so many beside the last, or is not one network.
    """
    layers = [part for part in discriminator.modules() if isinstance(part, nn.Linear | _ConvNd)]
    if count and not 0 < count < len(layers):
        raise UserError(
            f"freeze_discriminator={count} must leave the discriminator a layer to train, and it has {len(layers)}: "
            f"choose {len(layers) - 1} or fewer"
        )
    if count and any(isinstance(part, PatchGANPair) for part in discriminator.modules()):
        raise UserError("freeze_discriminator is for one discriminator, and model=cyclegan has two: leave it out")
    for part in takewhile(lambda part: part is not layers[count], discriminator.modules() if count else ()):
        for weight in part.parameters(recurse=False):
            weight.requires_grad_(False)
