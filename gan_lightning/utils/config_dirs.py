"""Folders of one's own laid out as conf/, which ``--config-dir`` and ``hydra.searchpath=`` name: first, and remembered.

Their files replace those of the same names in conf/.

They are remembered for this user on this machine. What is in them is trusted as conf/ is, so that a run made with one
is resumed, sampled and evaluated without naming the folder again. A run itself cannot name one: it may come from a
stranger.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from gan_lightning.utils.files import cache_folder, write_text

NAME = "config_dirs.txt"

VARIABLE = "GAN_LIGHTNING_CONFIG_DIRS"
"""Names the folders of this command, a line each, to the processes that it starts too."""


def name_config_dirs(folders: Sequence[str]) -> None:
    """Have Hydra look in ``file:///folder`` or ``pkg://package.conf`` before conf/, and remember them."""
    os.environ[VARIABLE] = "\n".join(folders)
    for folder in folders:
        remember_config_dir(folder)


def named_config_dirs() -> list[str]:
    """Return the folders that the command names."""
    return os.environ.get(VARIABLE, "").splitlines()


def remembered_config_dirs() -> list[Path]:
    """Return the folders that were remembered and are there; none where the list cannot be read."""
    try:
        lines = _file().read_text(encoding="utf-8").splitlines() if _file().is_file() else []
        return [Path(line) for line in lines if Path(line).is_absolute() and Path(line).is_dir()]
    except (OSError, ValueError):
        return []


def remember_config_dir(folder: str) -> None:
    """Remember ``file:///folder`` or ``pkg://package.conf``, if the cache can be written."""
    scheme, _, name = folder.partition("://")
    path = _package_folder(name) if scheme == "pkg" else Path(name)
    known = remembered_config_dirs()
    if path is not None and path.is_dir() and path.absolute() not in known:
        with suppress(OSError):
            write_text(_file(), "".join(f"{each}\n" for each in [*known, path.absolute()]))


def _package_folder(package: str) -> Path | None:
    """Return the folder of a package; None where there is no such package."""
    try:
        found = find_spec(package)
    except (ImportError, ValueError):
        return None
    return Path(found.submodule_search_locations[0]) if found and found.submodule_search_locations else None


def _file() -> Path:
    cache = cache_folder()
    assert cache is not None
    return cache / NAME
