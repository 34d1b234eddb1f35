"""Checkpoints that were changed, for tests of what is refused beside their checksums."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from gan_lightning.utils.checksum import KEY, structure_digest


def save_changed(content: dict[str, Any], file: Path, **torch_save: Any) -> None:
    """Save the content of a checkpoint as one who knows how its checksum is computed."""
    torch.save({**content, KEY: structure_digest(content)}, file, **torch_save)


def empty_checkpoint(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a checkpoint that has settings and nothing else to speak of."""
    parts: dict[str, Any] = {
        "state_dict": {},
        "optimizer_states": [{}, {}],
        "lr_schedulers": [],
        "loops": {},
        "callbacks": {},
    }
    game = {"iterations": 1, "discriminator_updates": 1, "images": 1}
    settings = {"gan": {}, "data": {}, **settings}
    return {**parts, "hyper_parameters": settings, "game": game, "pytorch-lightning_version": "2"}
