"""Which code a checkpoint may name: its settings are built by Hydra, where a `_target_` can be any function there is.

What the files of conf/ name may be built, and nothing else. So an addition of one's own is trusted, for it has its file
there, and a file from a stranger can ask for nothing that the command line could not. Nothing here imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from gan_lightning.utils.conf import conf_dir
from gan_lightning.utils.errors import UserError

NOT_BUILT = ("callbacks", "logger", "launcher", "hparams_search")
"""Parts of a run's settings that nothing is built of again: they watch a game or start it."""


LOST = "gan_lightning.runs.safe_targets.lost"


@cache
def allowed_targets(besides: Collection[str] = NOT_BUILT) -> frozenset[str]:
    """Every `_target_` that the files of conf/ name, but for its folders `besides`."""
    conf = Path(conf_dir())
    files = [file for file in conf.rglob("*.yaml") if file.relative_to(conf).parts[0] not in (*besides, "hydra")]
    return frozenset(name for file in files for name in re.findall(r"_target_:\s*[\"']?([\w.]+)", file.read_text()))


def checked_config(settings: Mapping[str, Any], checkpoint: Path, trust: Collection[str] = ()) -> dict[str, Any]:
    """The settings of a checkpoint that things are built of, `NOT_BUILT` left out, once they are seen to be harmless.

    Args:
        settings: nested dicts and lists, as the checkpoint holds them.
        checkpoint: how to name it.
        trust: further targets that may be built.

    Returns:
        Every target in it is one of conf/ or of `trust`; in the place of the package's others, which an earlier version
        may have had, stands `lost`.

    Raises:
        UserError: they name code that neither conf/ nor `trust` does; or they hold an interpolation, which could make
            up such a name when it is filled in, and which train.py has filled in before it saves.
    """
    kept = {key: part for key, part in settings.items() if key not in NOT_BUILT}
    if any("${" in text for text in texts(kept)):
        raise UserError(f"{checkpoint} has settings with ${{...}} in them, which train.py never writes: not loaded")
    allowed = {*allowed_targets(), *trust}
    foreign = [str(name) for name in targets(kept) if not (isinstance(name, str) and name in allowed)]
    foreign = list(dict.fromkeys(name for name in foreign if not name.startswith("gan_lightning.")))
    if foreign:
        names = ",".join(foreign)
        raise UserError(
            f"{checkpoint} asks to run {names.replace(',', ' and ')}, which no file of conf/ names: not loaded; if you "
            f"know where the checkpoint comes from and trust that code, add 'trust=[{names}]'"
        )
    harmless: dict[str, Any] = with_lost(kept, allowed)
    return harmless


def with_lost(tree: Any, allowed: Collection[str]) -> Any:
    """Nested dicts and lists with `lost` for what is not `allowed`."""
    if isinstance(tree, Mapping):
        if "_target_" in tree and tree["_target_"] not in allowed:
            return {"_target_": LOST, "name": str(tree["_target_"])}
        return {key: with_lost(part, allowed) for key, part in tree.items()}
    return [with_lost(part, allowed) for part in tree] if isinstance(tree, (list, tuple)) else tree


def lost(name: str) -> NoReturn:
    """What is built in the place of something that this version does not have.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{name} is not in this version: use the version of the code that it was trained with")


def targets(tree: Any) -> Iterator[Any]:
    """What every `_target_` in nested dicts and lists names."""
    return (part["_target_"] for part in nodes(tree) if isinstance(part, Mapping) and "_target_" in part)


def texts(tree: Any) -> Iterator[str]:
    """Every string in nested dicts and lists."""
    return (part for part in nodes(tree) if isinstance(part, str))


def nodes(tree: Any) -> Iterator[Any]:
    """Everything in nested dicts and lists, keys and the containers themselves included."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Mapping):
            waiting += [*node.keys(), *node.values()]
        elif isinstance(node, (list, tuple, set, frozenset)):
            waiting += node


def bounded(tree: Any, *, parts: int = 100_000, depth: int = 100) -> bool:
    """Whether nested dicts and lists have no more than so many parts and levels; not if they contain themselves.

    The settings of a run have a few hundred parts and about ten levels.
    """
    waiting, seen = [(tree, 0)], 0
    while waiting:
        node, level = waiting.pop()
        seen += 1
        if seen > parts or level > depth:
            return False
        if isinstance(node, (Mapping, list, tuple, set, frozenset)):
            waiting += [(part, level + 1) for part in (node.values() if isinstance(node, Mapping) else node)]
    return True
