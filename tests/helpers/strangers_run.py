"""A finished run, as a stranger may prepare it, and what commands say of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import gan_lightning as gl
from gan_lightning.utils.errors import UserError
from helpers.checkpoints import save_changed
from helpers.run_script import TINY

Content = dict[str, Any]
SETTINGS = (*TINY, "callbacks.density=null", "logger=csv", "max_iterations=2", "checkpoint_every=1")


def prepare(theirs: Path, change: Callable[[Content], object]) -> None:
    """Change the settings in the checkpoint, the checksum recomputed."""
    content = torch.load(last(theirs), weights_only=True)
    change(content["hyper_parameters"])
    save_changed(content, last(theirs))


def last(directory: Path) -> Path:
    return directory / "checkpoints" / "last.ckpt"


def resume(theirs: Path, *typed: str) -> gl.Run:
    return gl.train([f"ckpt_path={theirs}", "max_iterations=4", *typed])


def refused(action: Callable[[], object]) -> str:
    """Return the one sentence that an action ends with."""
    with pytest.raises(UserError) as error:
        action()
    (problem,) = error.value.problems
    assert "\n" not in problem
    return problem
