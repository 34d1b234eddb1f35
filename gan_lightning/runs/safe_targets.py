"""The code that a checkpoint may name: its settings are built by Hydra, where a `_target_` can be any function.

Only targets that the files of conf/ name are built. So an addition of one's own is trusted, as it has its file there,
and a file from a stranger can build nothing that the command line could not. Nothing here imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from gan_lightning.utils.conf import conf_dir
from gan_lightning.utils.config_dirs import remembered_config_dirs
from gan_lightning.utils.errors import UserError

NOT_BUILT = ("callbacks", "logger", "launcher", "hparams_search")
"""Parts of a run's settings that are not built again: they observe training or start it."""


@cache
def allowed_targets(besides: Collection[str] = NOT_BUILT) -> frozenset[str]:
    """Return every `_target_` that the files of conf/ name, but for its folders `besides`.

    Folders like conf/ that the user has named with ``--config-dir`` count as conf/ does.
    """
    names: set[str] = set()
    for conf in (Path(conf_dir()), *remembered_config_dirs()):
        for file in conf.rglob("*.yaml"):
            if file.relative_to(conf).parts[0] not in (*besides, "hydra"):
                names.update(re.findall(r"_target_:\s*[\"']?([\w.]+)", file.read_text(encoding="utf-8")))
    return frozenset(names)


def checked_config(settings: Mapping[str, Any], checkpoint: Path, trust: Collection[str] = ()) -> dict[str, Any]:
    """Return the settings of a checkpoint that things are built of, `NOT_BUILT` left out, if they are harmless.

    Args:
        settings: nested dicts and lists, as the checkpoint holds them.
        checkpoint: how to name it.
        trust: further targets that may be built, or packages all of whose may.

    Returns:
        Settings in which every target is one of conf/ or of `trust`.

    Raises:
        UserError: they name code that neither conf/ nor `trust` does; or they hold an interpolation, which could make
            up such a name when it is filled in, and which train.py has filled in before it saves.
    """
    kept = {key: part for key, part in settings.items() if key not in NOT_BUILT}
    if any("${" in text for text in texts(kept)):
        raise UserError(f"{checkpoint} has settings with ${{...}} in them, which train.py never writes: not loaded")
    allowed = {*allowed_targets(), *trust}
    foreign = list(dict.fromkeys(str(name) for name in targets(kept) if not is_allowed(name, allowed, trust)))
    if foreign:
        names = ",".join(foreign)
        raise UserError(
            f"{checkpoint} names {names.replace(',', ' and ')}, which no file of conf/ names: not loaded; use the "
            f"version that it was trained with, or, if you know where it comes from, add 'trust=[{names}]'"
        )
    return kept


def is_allowed(name: Any, allowed: Collection[str], packages: Collection[str] = ()) -> bool:
    """Return whether `name` is one of `allowed`, or in one of `packages`; it may be anything."""
    if not isinstance(name, str):
        return False
    return name in allowed or ("__" not in name and any(name.startswith(f"{package}.") for package in packages))


def targets(tree: Any) -> Iterator[Any]:
    """Yield the value of every `_target_` in nested dicts and lists."""
    return (part["_target_"] for part in nodes(tree) if isinstance(part, Mapping) and "_target_" in part)


def texts(tree: Any) -> Iterator[str]:
    """Yield every string in nested dicts and lists."""
    return (part for part in nodes(tree) if isinstance(part, str))


def nodes(tree: Any) -> Iterator[Any]:
    """Yield everything in nested dicts and lists, keys and the containers themselves included."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Mapping):
            waiting += [*node.keys(), *node.values()]
        elif isinstance(node, (list, tuple, set, frozenset)):
            waiting += node
