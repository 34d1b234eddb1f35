"""Which settings may change when a run is resumed. All others make another game, and are refused by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from gan_lightning.utils.conf import format_value, leaves, plain
from gan_lightning.utils.errors import UserError

MAY_CHANGE = (
    "max_iterations",
    "stop",
    "stop.*",
    "log_every",
    "evaluate_every",
    "samples_every",
    "checkpoint_every",
    "ckpt_path",
    "resume",
    "name",
    "note",
    "choices",
    "choices.*",
    "trainer.*",
    "data.root",
    "data.name",
    "data.download",
    "data.num_workers",
)
"""The budget, how often something is done, and where the game is played."""

MAY_CHANGE_WHOLE = ("callbacks", "logger", "metrics", "extractor", "launcher", "hparams_search", "published")
"""Parts that watch the game or start it, and what a paper states."""

MAY_NOT = ("trainer.sync_batchnorm", "metrics.monitor", "metrics.mode")
"""What changes the game, or what the best of it means, all the same."""

NOTHING = object()


class Change(NamedTuple):
    """A key with the value of the checkpoint and that of now; `NOTHING` where there is none."""

    key: str
    before: Any
    now: Any

    def __str__(self) -> str:
        before, now = ("not there" if value is NOTHING else format_value(value) for value in self[1:])
        return f"{self.key} was {before} and is now {now}"


def may_change(key: str) -> bool:
    """Return whether a run may be resumed with another value of `key`."""
    return key not in MAY_NOT and (watches(key) or any(fnmatchcase(key, pattern) for pattern in MAY_CHANGE))


def watches(key: str) -> bool:
    """Return whether `key` is part of what only looks at the game."""
    return key.partition(".")[0].partition("@")[0] in MAY_CHANGE_WHOLE and key not in MAY_NOT


def refuse_changes(checkpoint: object, before: Mapping[str, Any], config: DictConfig) -> None:
    """See that `config` is the game of a checkpoint, but for what may change.

    What may change is set back before anything is filled in: a schedule as long as `max_iterations` has not changed
    when `max_iterations` has. Of values that differ, those are named that a user types: a value that refers to another
    key is named only where no other differs.

    Args:
        checkpoint: how to name it.
        before: the configuration that it holds, resolved.
        config: that of now, as composed.

    Raises:
        UserError: naming the keys that have changed, with both values.
    """
    if typed := typed_changes(before, config):
        raise UserError(refusal(checkpoint, typed))


def typed_changes(before: Mapping[str, Any], config: DictConfig) -> list[Change]:
    """Return what `refuse_changes` refuses; its arguments are the same."""
    job = config.copy()
    for key, value in leaves(before):
        if may_change(key) and not watches(key) and key != "data.root":  # the images lie where they are now
            OmegaConf.update(job, key, value, merge=False, force_add=True)
    found = list(changes(before, plain(job)))
    typed = [change for change in found if not refers(job, change.key)]
    return typed or [change for change in found if not refers(job, change.key.rpartition(".")[0])]


def refusal(checkpoint: object, changed: Sequence[Change]) -> str:
    """Return the sentence on what differs from a checkpoint."""
    return (
        f"{checkpoint} was made with other settings, and a resumed run keeps them: {'; '.join(map(str, changed))}. "
        f"Leave {'it' if len(changed) == 1 else 'them'} out, or start a new run from its weights with init_from in the "
        "place of ckpt_path"
    )


def changes(before: Any, now: Any, key: str = "") -> Iterator[Change]:
    """Yield the differences that may not be, at the highest key that one side has alone."""
    if may_change(key) and not any(other.startswith(f"{key}.") for other in MAY_NOT):
        return
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in [*now, *(name for name in before if name not in now)]:
            below = f"{key}.{name}" if key else str(name)
            yield from changes(before.get(name, NOTHING), now.get(name, NOTHING), below)
    elif before is NOTHING or now is NOTHING or before != now:
        yield Change(key, before, now)


def refers(config: DictConfig, key: str) -> bool:
    """Return whether the value at `key`, or one that it is part of, is taken from elsewhere in `config`."""
    node: Any = config
    for name in key.split(".") if key else ():
        if not isinstance(node, DictConfig) or name not in node:
            return False
        if OmegaConf.is_interpolation(node, name):
            return True
        node = node[name]
    return False
