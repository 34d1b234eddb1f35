"""The settings of a checkpoint as data: plain values alone, and no code named that conf/ does not name.

Settings are built by Hydra, where a `_target_` can be any function. Only targets that the files of conf/ name are
built. So an addition of one's own is trusted, as it has its file there, and a file from a stranger can build nothing
that the command line could not. Nothing here imports torch.
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

NOT_BUILT = ("callbacks", "logger", "launcher", "hparams_search", "debug")
"""Parts of a run's settings that are not built again: they observe training or start it."""

MOST_NODES, DEEPEST = 50_000, 50
"""Settings with more keys and values than this, or nested deeper, are no run's."""


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


@cache
def top_level_keys() -> frozenset[str]:
    """Return the keys that the settings of a run may have: those of conf/train.yaml, and its groups."""
    conf = Path(conf_dir())
    groups = {path.name for path in conf.iterdir() if path.is_dir()}
    written = set(re.findall(r"^(\w+):", (conf / "train.yaml").read_text(encoding="utf-8"), flags=re.MULTILINE))
    return frozenset((groups | written) - {"hydra", "defaults"})


def checked_settings(settings: Mapping[str, Any], checkpoint: object, trust: Collection[str] = ()) -> dict[str, Any]:
    """Return the settings of a checkpoint, if building them is safe; what watched or started the run is left out.

    Args:
        settings: as the checkpoint holds them.
        checkpoint: how to name it.
        trust: further targets that may be built, packages all of whose may, and further keys that may be there.

    Returns:
        Settings in which every target is one of conf/ or of `trust`, and nothing is written or fetched but in the
        cache of this machine.

    Raises:
        UserError: they are not plain; or they have a key or name code that neither conf/ nor `trust` does.
    """
    kept = {key: part for key, part in plain_settings(settings, checkpoint).items() if key not in NOT_BUILT}
    if unknown := [key for key in kept if key not in top_level_keys() and key not in trust]:
        raise UserError(foreign(checkpoint, unknown, "has settings"))
    allowed = {*allowed_targets(), *trust}
    if unknown := list(dict.fromkeys(str(name) for name in targets(kept) if not is_allowed(name, allowed, trust))):
        raise UserError(foreign(checkpoint, unknown, "names"))
    return kept


def foreign(checkpoint: object, names: Collection[str], what: str) -> str:
    """Return the sentence on what is in a checkpoint and not in conf/."""
    return (
        f"{checkpoint} {what} {' and '.join(names)}, which no file of conf/ names: not loaded; use the version that it "
        f"was trained with, or, if you know where it comes from, add 'trust=[{','.join(names)}]'"
    )


def plain_settings(settings: Mapping[str, Any], checkpoint: object) -> dict[str, Any]:
    """Return the settings of a checkpoint, whose files are written where this machine keeps its own.

    Raises:
        UserError: there is anything in them but plain values.
    """
    if flaw := flaw_of(settings):
        raise UserError(f"{checkpoint} has settings with {flaw}, which train.py never writes: not loaded")
    return dict(at_home(settings))


def flaw_of(settings: object) -> str | None:
    """Return what keeps settings from being taken as they are; None where nothing does.

    An interpolation would be filled in by the functions that it names, and could make up the name of a target.
    """
    waiting, seen = [(settings, 0)], 0
    while waiting:
        node, depth = waiting.pop()
        seen += 1
        if seen > MOST_NODES or depth > DEEPEST:
            return "more in them than any run has"
        if isinstance(node, dict):
            waiting += [(part, depth + 1) for pair in node.items() for part in pair]
        elif isinstance(node, (list, tuple)):
            waiting += [(part, depth + 1) for part in node]
        elif isinstance(node, str):
            if "${" in node or node == "???":
                return "${...} in them" if "${" in node else "??? in them"
        elif node is not None and not isinstance(node, (bool, int, float)):
            return f"a {type(node).__name__} in them"
    return None


def at_home(node: Any) -> Any:
    """Return settings that name no folder to write to and fetch nothing; the user may still say so anew."""
    if isinstance(node, (list, tuple)):
        return [at_home(part) for part in node]
    if not isinstance(node, Mapping):
        return node
    kept = {key: at_home(part) for key, part in node.items()}
    if kept.get("cache") is not None:
        kept["cache"] = "auto"
    if kept.get("download"):
        kept["download"] = False
    return kept


def is_allowed(name: Any, allowed: Collection[str], packages: Collection[str] = ()) -> bool:
    """Return whether `name` is one of `allowed`, or in one of `packages`; it may be anything."""
    if not isinstance(name, str):
        return False
    return name in allowed or ("__" not in name and any(name.startswith(f"{package}.") for package in packages))


def targets(node: Any) -> Iterator[Any]:
    """Yield the value of every `_target_` in nested dicts and lists."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield node["_target_"]
        for part in node.values():
            yield from targets(part)
    elif isinstance(node, (list, tuple)):
        for part in node:
            yield from targets(part)
