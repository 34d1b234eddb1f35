"""Folders of one's own laid out as conf/, which ``--config-dir`` has named: remembered for this user on this machine.

What is in them is trusted as conf/ is, so that a run made with one is resumed, sampled and evaluated without naming the
folder again. A run itself cannot name one: it may come from a stranger.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from gan_lightning.utils.files import cache_folder, write_text

NAME = "config_dirs.txt"


def remembered_config_dirs() -> list[Path]:
    """Return the folders that were remembered and are there."""
    try:
        lines = _file().read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    return [Path(line) for line in lines if Path(line).is_dir()]


def remember_config_dir(folder: str | Path) -> None:
    """Remember a folder; where the cache cannot be written, it is to be named again."""
    path, known = Path(folder).absolute(), remembered_config_dirs()
    if path.is_dir() and path not in known:
        with suppress(OSError):
            write_text(_file(), "".join(f"{each}\n" for each in [*known, path]))


def _file() -> Path:
    cache = cache_folder()
    assert cache is not None
    return cache / NAME
