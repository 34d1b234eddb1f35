"""A trained game, from its checkpoint alone: the checkpoint carries the configuration it was made with."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from gan_lightning.cli.errors import UserError
from gan_lightning.gan import GAN


class Trained(NamedTuple):
    """What a checkpoint holds: the run's whole configuration, and the game in evaluation mode."""

    config: DictConfig
    gan: GAN


def read_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """The content of a checkpoint that train.py wrote, on the CPU.

    Raises:
        UserError: it is no such file.
    """
    try:
        content: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
        missing = {"hyper_parameters", "state_dict", "game"} - set(content)
    except (OSError, RuntimeError, EOFError, TypeError, UnpicklingError) as error:
        raise UserError(f"{checkpoint} is not a checkpoint: give another ckpt_path") from error
    if missing:
        raise UserError(f"{checkpoint} is not a checkpoint that train.py wrote: give another ckpt_path")
    return content


def load(checkpoint: Path, device: str) -> Trained:
    """Build the game of `checkpoint` and load its weights.

    Raises:
        UserError: the file is not a checkpoint of a run.
    """
    content = read_checkpoint(checkpoint)
    config = OmegaConf.create(content["hyper_parameters"])
    gan: GAN = instantiate(config.gan, _convert_="all")
    gan.load_state_dict(content["state_dict"])
    gan.on_load_checkpoint(content)
    return Trained(config, gan.to(device).eval())


def device_named(name: str) -> str:
    """The device to work on; `auto` is the first GPU where there is one.

    Raises:
        UserError: the device is not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name != "cpu" and not (name.startswith("cuda") and torch.cuda.is_available()):
        raise UserError(f"device={name} is not here: choose auto or cpu")
    return name
