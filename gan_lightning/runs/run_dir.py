"""The files of a run directory: the configuration, where the run took place, and its checkpoints."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gan_lightning.utils.conf import PACKAGE
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.files import write_json, write_text

RUNS = Path("outputs/runs")
"""Where runs lie that were given no directory; conf/train.yaml says so too."""

PACKAGES = (
    "gan_lightning",
    "torch",
    "torchvision",
    "lightning",
    "torchmetrics",
    "hydra-core",
    "omegaconf",
    "wandb",
    "numpy",
)


def write_start(directory: Path, settings: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Write ``config.yaml`` (resolved), ``overrides.yaml`` and ``environment.json``."""
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(dict(settings))))
    write_text(directory / "overrides.yaml", OmegaConf.to_yaml(OmegaConf.create(list(overrides))))
    write_json(directory / "environment.json", environment())


def require_writable(directory: Path) -> None:
    """Make a run directory; a UserError if it cannot be made or written to."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise UserError(
            f"{directory} cannot be written ({error.strerror}): give a run directory with hydra.run.dir=<folder>"
        ) from error


def discard_refused(directory: Path) -> None:
    """Remove the directory of a run that was refused before it began: it holds a log and the error at most."""
    if directory.is_dir() and {path.name for path in directory.iterdir()} <= {"train.log", "result.json"}:
        shutil.rmtree(directory, ignore_errors=True)


def environment() -> dict[str, Any]:
    """Return versions, hardware, command line and the state of the source."""
    import torch  # here, because the command line looks for checkpoints before it imports torch

    return {
        "command": [sys.executable, *sys.argv],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else platform.processor() or platform.machine(),
        "packages": {name: installed(name) for name in PACKAGES},
        "git": {"commit": git("rev-parse", "HEAD"), "changed_files": (git("status", "--porcelain") or "").splitlines()},
    }


def installed(package: str) -> str | None:
    """Return the version of an installed package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def git(*arguments: str) -> str | None:
    """Return what git prints about the source; None where there is no git or no repository."""
    try:
        answer = subprocess.run(
            ["git", *arguments], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def checkpoint_of(path: str | None, which: str = "last") -> Path:
    """Return the checkpoint `path`, or the one named `which` of a run directory; a UserError if there is none.

    The run directory may be given as `last`, the one in `RUNS` that saved last, and by its folder of checkpoints.
    """
    if not path:
        raise UserError("name a run or a checkpoint: ckpt_path=outputs/runs/...")
    found = newest_run() if path == "last" else Path(path).expanduser()
    if found.is_dir():
        found = (found if found.name == "checkpoints" else found / "checkpoints") / f"{which}.ckpt"
    if not found.is_file():
        raise UserError(
            f"ckpt_path={path} holds no checkpoint, {found} does not exist: give a run directory or a .ckpt file"
        )
    return found


def newest_run() -> Path:
    """Return the run in `RUNS` that saved last; a UserError if none has."""
    saved = list(RUNS.glob("*/checkpoints/last.ckpt"))
    if not saved:
        raise UserError(f"ckpt_path=last finds no run with a checkpoint in {RUNS}: give the directory of one")
    return run_directory(max(saved, key=lambda file: file.stat().st_mtime))


def run_directory(checkpoint: Path) -> Path:
    """Return the run directory that a checkpoint lies in; the checkpoint's own folder when it was moved out of one."""
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent
