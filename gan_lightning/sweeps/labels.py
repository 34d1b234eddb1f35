"""What differs between runs, as it was typed. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from gan_lightning.utils.choices import LOADER


def typed_settings(directory: Path) -> dict[str, str]:
    """Return the overrides of a run, as value by key; nothing where its ``overrides.yaml`` cannot be read."""
    try:
        lines = yaml.load((directory / "overrides.yaml").read_text(encoding="utf-8"), LOADER)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        lines = None
    pairs = [str(line).partition("=") for line in (lines if isinstance(lines, list) else [])]
    return {key.lstrip("+"): value for key, sign, value in pairs if sign}


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys whose values are not the same everywhere."""
    keys = dict.fromkeys(key for own in settings for key in own)
    return [key for key in keys if len({str(own.get(key)) for own in settings}) > 1]


def label(settings: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Return ``key=value,...`` of `keys`."""
    return ",".join(f"{key}={settings[key]}" for key in keys if key in settings) or "default"
