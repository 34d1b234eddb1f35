"""What a run directory says of the run: the configuration, where it ran, and how it ended."""

from __future__ import annotations

import json
import math
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from gan_lightning.utils.conf import PACKAGE

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


def write_start(directory: Path, settings: Mapping[str, Any], overrides: list[str]) -> None:
    """Write ``config.yaml`` (resolved), ``overrides.yaml`` and ``environment.json``."""
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(dict(settings))))
    write_text(directory / "overrides.yaml", OmegaConf.to_yaml(OmegaConf.create(overrides)))
    write_json(directory / "environment.json", environment())


def environment() -> dict[str, Any]:
    """Versions, hardware, command line and the state of the source."""
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
    """The version of an installed package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def git(*arguments: str) -> str | None:
    """What git says of the source; None where there is no git or no repository."""
    try:
        answer = subprocess.run(
            ["git", *arguments], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, whole or not at all. NaN and infinity become null."""
    write_text(path, json.dumps(json_safe(content), indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file aside and rename it, so that a reader never finds half of it."""
    aside = path.with_name(path.name + ".part")
    aside.write_text(text)
    aside.replace(path)


def json_safe(value: Any) -> Any:
    """`value` with null where JSON has no number."""
    if isinstance(value, Mapping):
        return {key: json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
