"""A trained game whose real samples lie elsewhere than in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_lightning.runs.checkpoints import LoadedRun, load
from gan_lightning.utils.errors import UserError

MOVABLE = ("root", "download", "a", "b", "in_memory")
"""Settings of data that say where they lie, and nothing of what they are."""


def loaded(cfg: DictConfig, checkpoint: Path, device: str) -> LoadedRun:
    """The game of `checkpoint`, its data where the command line says that they are.

    Raises:
        UserError: see `trained.load`; or the data have no such setting.
    """
    moved = {key: value for key, value in cfg.data.items() if value is not None}
    # Before it is built: a prior that draws from the data reads them then.
    return load(checkpoint, device, cfg.trust, lambda config: move_data(config, moved))


def move_data(config: DictConfig, moved: dict[Any, Any]) -> None:
    """Put `moved` into the settings of a run's data, and of the prior's copy of them where it draws from them.

    Raises:
        UserError: the data have no such setting.
    """
    for key in moved:
        if key not in config.data:
            able = [name for name in MOVABLE if name in config.data]
            instead = f"it has {', '.join(f'data.{name}' for name in able)}" if able else "leave it out"
            raise UserError(f"data.{key} is no setting of this run's data ({config.data.get('_target_')}): {instead}")
    for place in ("data", "prior.data", "gan.prior.data"):
        data = OmegaConf.select(config, place)
        if isinstance(data, DictConfig):
            data.update(moved)
