"""What loggers are told of a run beside its numbers: what it is at the start, what was reached at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning import Trainer

from gan_lightning.gan import GAN
from gan_lightning.loggers.base import RunLogger

NO_CHOICE = ("callbacks", "hparams_search", "launcher", "logger", "trainer")
"""Groups of conf/ that do not say what the game is."""

REPEATED = ("choices", "gan", "published")
"""Keys of the configuration that repeat others, or that nothing is built from."""


def description(settings: Mapping[str, Any], overrides: Sequence[str], gan: GAN, trainer: Trainer) -> dict[str, Any]:
    """Return what a run is: the answers by group, ``loss: lsgan``; facts; and the configuration below ``settings``."""
    answers = {
        group: answer for group, answer in settings.get("choices", {}).items() if answer and group not in NO_CHOICE
    }
    words = {group: "+".join(answer) if isinstance(answer, list) else answer for group, answer in answers.items()}
    device = trainer.strategy.root_device
    return {
        **words,
        "overrides": " ".join(overrides),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "devices": trainer.world_size,
        "precision": str(trainer.precision),
        "parameters": parameters(gan),
        "settings": {key: value for key, value in settings.items() if key not in REPEATED},
    }


def parameters(gan: GAN) -> dict[str, int]:
    """Return the number of parameters of each player."""
    players = {"generator": gan.generator, "discriminator": gan.discriminator}
    return {name: sum(weight.numel() for weight in network.parameters()) for name, network in players.items()}


def summary(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was reached, of the content of ``result.json``, a plain value a key."""
    best = result.get("best") or {}
    symptoms = [record["symptom"] for record in result.get("health", []) if record["until"] is None]
    return {
        "error": result.get("error"),
        "monitor": result.get("monitor"),
        "best": best.get(result.get("monitor")),
        "best_iteration": best.get("iteration"),
        "health": ", ".join(dict.fromkeys(symptoms)).replace("_", " ") or "fine",
        "seconds": result.get("seconds"),
    }


def run_url(trainer: Trainer) -> str | None:
    """Return where the run can be looked at; None where no logger has a page of it."""
    return next((part.url for part in trainer.loggers if isinstance(part, RunLogger) and part.url), None)


def end_loggers(trainer: Trainer, result: Mapping[str, Any]) -> None:
    """Tell loggers how the run has ended, and close them."""
    for logger in trainer.loggers:
        if isinstance(logger, RunLogger):
            logger.end(result["status"], summary(result))
