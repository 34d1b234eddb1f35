"""The six lines that a run prints before it trains: what is trained on what, with what, for how long, and where."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from torch.utils.flop_counter import FlopCounterMode

from gan_lightning.game import discriminate
from gan_lightning.gan import GAN
from gan_lightning.loggers import WandB
from gan_lightning.runs.logged import parameters
from gan_lightning.utils.errors import printable

log = logging.getLogger(__name__)

UNITS = ("", " k", " M", " G", " T")

GPU_FLOPS = 1e12
"""Floating-point operations a second that the estimate for a GPU is made with: a few per cent of what one can do, since
the maps of small networks do not fill it."""


def log_start(
    settings: Mapping[str, Any], gan: GAN, trainer: Trainer, samples: int | None, directory: Path, iterations: int
) -> None:
    """Log the block; arguments as `start_block` has them."""
    for label, text in start_block(settings, gan, trainer, samples, directory, iterations).items():
        log.info(f"{label:<12} {text}")


def start_block(
    settings: Mapping[str, Any], gan: GAN, trainer: Trainer, samples: int | None, directory: Path, iterations: int
) -> dict[str, str]:
    """Return the lines by their labels.

    Args:
        settings: of the run.
        gan: that is trained.
        trainer: that trains it.
        samples: how many are trained on; None where they are drawn anew.
        directory: of the run.
        iterations: that were made before.
    """
    data, choices, stop = settings["data"], settings.get("choices", {}), settings["stop"]
    shape = " x ".join(map(str, data["shape"]))
    size = "fresh samples for ever" if samples is None else f"{samples} samples"
    kept = f", classes {list(data['classes'])}" if data.get("classes") is not None else ""
    weights, work = parameters(gan), multiply_adds(gan, settings.get("wrappers"))
    players = [
        f"{player} {in_words(count)} parameters"
        + (f", {in_words(work[player])} multiply-adds a sample" if player in work else "")
        for player, count in weights.items()
    ]
    root = trainer.strategy.root_device
    device = torch.cuda.get_device_name(root) if root.type == "cuda" else root.type
    images = settings["max_iterations"] * gan.discriminator_steps * data["batch_size"]
    monitor = settings["metrics"]["monitor"]
    limits = [f"evaluated every {settings['evaluate_every']}, the best by {monitor}"] if monitor else []
    limits += [f"stop.{key}={value}" for key, value in stop.items() if value is not None]
    if root.type == "cpu" and len(data["shape"]) == 3 and len(work) == 2:
        turns = settings["max_iterations"] - iterations
        seconds = turns * data["batch_size"] * operations(work, gan.discriminator_steps) / GPU_FLOPS
        limits += [f"{in_minutes(seconds)} on a GPU that sustains {in_words(int(GPU_FLOPS))}FLOP/s"]
    before = f" of which {iterations} are made" if iterations else ""
    wandb = next((part for part in trainer.loggers if isinstance(part, WandB)), None)
    page = "not used" if wandb is None else str(wandb.url or wandb.offline_dir or "offline")
    return {
        "data": f"{choices.get('data')}: {size} of {shape}{kept}, {data['batch_size']} an update",
        "networks": f"{choices.get('model')}: {'; '.join(players)}",
        "device": f"{trainer.world_size} x {device}, precision {trainer.precision}",
        "budget": ", ".join([f"{settings['max_iterations']} iterations{before}", f"{images} real samples", *limits]),
        "W&B": page,
        "directory": printable(os.path.relpath(directory)),
    }


@torch.no_grad()
def multiply_adds(gan: GAN, wrappers: Mapping[str, Any] | None = None) -> dict[str, int]:
    """Return each player's multiply-adds of a sample's forward pass in convolutions and matrix products.

    Counted in one forward pass by torch; nothing where the networks cannot be run so. Leaves no trace in `gan`.

    Args:
        gan: on any device.
        wrappers: settings of the discriminator's wrappers, whose `pack` samples are scored together.
    """
    count = math.lcm(*(int(wrapper.get("pack", 1)) for wrapper in (wrappers or {}).values() if wrapper))
    generator, discriminator = FlopCounterMode(display=False), FlopCounterMode(display=False)
    try:
        with torch.random.fork_rng():
            latent = gan.fixed_latents(count, "start")
            players = deepcopy(gan.generator).eval(), deepcopy(gan.discriminator).eval()
            with generator:
                fake = players[0](latent)
            with discriminator:
                discriminate(players[1], fake, latent.labels, uncompiled=True)
    except Exception:  # networks of a user's own: a number for the reader never ends a run
        return {}
    counters = {"generator": generator, "discriminator": discriminator}
    return {player: counter.get_total_flops() // 2 // count for player, counter in counters.items()}


def operations(work: Mapping[str, int], discriminator_steps: int) -> int:
    """Return the floating-point operations of an iteration for each sample of a batch, without penalties.

    A backward pass takes two forward passes. A discriminator's step has a generator's forward pass and both passes of
    the discriminator for a real sample and a fake; the generator's step has both passes of both players.

    Args:
        work: multiply-adds of a forward pass of each player, of two operations each.
        discriminator_steps: in an iteration.
    """
    generator, discriminator = work["generator"], work["discriminator"]
    return 2 * (discriminator_steps * (generator + 6 * discriminator) + 3 * (generator + discriminator))


def in_minutes(seconds: float) -> str:
    """Return a duration in whole minutes, as in ``about 2 minutes``."""
    count = round(seconds / 60)
    if seconds < 60:
        return "less than a minute"
    return f"about {count} minute{'s' if count > 1 else ''}"


def in_words(number: int) -> str:
    """Return a count with three digits and its unit, as in ``3.1 M``."""
    power = min(len(UNITS) - 1, max(0, (len(str(number)) - 1) // 3))
    return f"{number / 1000**power:.3g}{UNITS[power]}"
