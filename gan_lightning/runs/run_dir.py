"""The files of a run directory: the configuration, where the run took place, and its checkpoints."""

from __future__ import annotations

import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from gan_lightning.runs.safe_targets import flaw_of
from gan_lightning.utils.conf import PACKAGE
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.files import write_json, write_text

log = logging.getLogger(__name__)

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
    """Write ``config.yaml`` (resolved), ``overrides.yaml`` and ``environment.json``.

    In the directory of a run that is resumed, ``overrides.yaml`` stays: it says how the run began. It is for a reader,
    and never read.
    """
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(dict(settings))))
    if not (directory / "overrides.yaml").is_file():
        write_text(directory / "overrides.yaml", OmegaConf.to_yaml(OmegaConf.create(list(overrides))))
    write_json(directory / "environment.json", environment())


def write_result(directory: Path, result: Mapping[str, Any]) -> None:
    """Write ``result.json``; that it cannot be written is logged, as how the run ended is known by other means."""
    path = directory / "result.json"
    try:
        write_json(path, result)
    except OSError as error:
        log.error(f"{os.path.relpath(path)} cannot be written ({error.strerror}): the run ended as {result['status']}")


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


def checkpoint_of(path: str | None, which: str = "last", key: str = "ckpt_path") -> Path:
    """Return the checkpoint `path`, or the one named `which` of a run directory; a UserError if there is none.

    The run directory may be given as `last`, the one in `RUNS` that saved last, and by its folder of checkpoints.
    `key` is the setting that `path` is the value of.
    """
    if not path:
        raise UserError(f"name a run or a checkpoint: {key}=outputs/runs/...")
    found = newest_run(key) if path == "last" else Path(path).expanduser()
    if found.is_dir():
        found = (found if found.name == "checkpoints" else found / "checkpoints") / f"{which}.ckpt"
    if not found.is_file():
        raise UserError(
            f"{key}={path} holds no checkpoint, {found} does not exist: give a run directory or a .ckpt file"
        )
    return found


def newest_run(key: str = "ckpt_path") -> Path:
    """Return the run in `RUNS` that saved last; a UserError if none has."""
    saved = list(RUNS.glob("*/checkpoints/last.ckpt"))
    if not saved:
        raise UserError(f"{key}=last finds no run with a checkpoint in {RUNS}: give the directory of one")
    return run_directory(max(saved, key=lambda file: file.stat().st_mtime))


def run_directory(checkpoint: Path) -> Path:
    """Return the run directory that a checkpoint lies in; the checkpoint's own folder when it was moved out of one."""
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent


LARGEST_CONFIG_BYTES = 2**20
"""Configurations of runs are smaller."""


def read_config(directory: Path) -> DictConfig:
    """Return the configuration of a run, of its ``config.yaml``: plain values.

    Raises:
        UserError: the file is not as `write_start` writes it.
    """
    file = directory / "config.yaml"
    try:
        if file.stat().st_size > LARGEST_CONFIG_BYTES or has_aliases_or_tags(file.read_text(encoding="utf-8")):
            raise ValueError("more than plain values")
        config = OmegaConf.load(file)
        assert isinstance(config, DictConfig)
        assert config, "empty"
        if flaw := flaw_of(OmegaConf.to_container(config, resolve=False)):
            raise ValueError(flaw)
    except (OSError, ValueError, AssertionError, RecursionError, YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{file} is not the configuration of a run as train.py writes it") from error
    return config


def has_aliases_or_tags(text: str) -> bool:
    """Return whether YAML repeats parts by name, which may make it grow without bound, or names types."""
    events = yaml.parse(text, Loader=yaml.SafeLoader)
    return any(getattr(event, "anchor", None) or getattr(event, "tag", None) for event in events)


def refuse_escapes(directory: Path) -> None:
    """See that what a run that is resumed writes into its directory lands there.

    Raises:
        UserError: the directory holds a link out of it, or what is neither a file nor a folder, such as a pipe.
    """
    home = directory.resolve()
    if not (home / "checkpoints").is_dir():
        return
    for folder, folders, files in os.walk(home):
        for path in (Path(folder, name) for name in (*folders, *files)):
            if not path.resolve().is_relative_to(home) or not (path.is_file() or path.is_dir() or path.is_symlink()):
                raise UserError(
                    f"{path} leads out of the run directory, or is no file: remove it, or start a new run with "
                    f"ckpt_path={directory / 'checkpoints' / 'last.ckpt'}"
                )
        if Path(folder) == home and "wandb" in folders:
            folders.remove("wandb")  # where W&B itself links to its logs
