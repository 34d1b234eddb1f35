"""A trained game, from its checkpoint alone: the checkpoint carries the configuration it was made with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from gan_lightning.cli.errors import UserError
from gan_lightning.gan import GAN


class Trained(NamedTuple):
    """What a checkpoint holds: where it lies, the run's whole configuration, and the game in evaluation mode."""

    path: Path
    config: DictConfig
    gan: GAN


def load(checkpoint: Path, device: str) -> Trained:
    """Build the game of `checkpoint` and load its weights.

    Raises:
        UserError: when the file is not a checkpoint of a run.
    """
    try:
        content: dict[str, Any] = torch.load(checkpoint, map_location=device, weights_only=True)
        config = OmegaConf.create(content["hyper_parameters"])
        gan: GAN = instantiate(config.gan, _convert_="all")
        gan.load_state_dict(content["state_dict"])
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{checkpoint} is not a checkpoint that train.py wrote ({reason}): give another ckpt_path"
        ) from error
    gan.on_load_checkpoint(content)
    return Trained(checkpoint, config, gan.to(device).eval())


def device_named(name: str) -> str:
    """The device to work on; `auto` is the first GPU where there is one."""
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"
