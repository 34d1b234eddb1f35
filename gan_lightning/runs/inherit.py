"""The settings of the run that `ckpt_path` names, under what is typed now.

A checkpoint may come from a stranger, so its settings are values and nothing more. The configuration is composed of our
own conf/ with the same answers (`choices`) and of what is typed; then each setting that is not typed takes the value
that the checkpoint has, as it stands. Where our configuration refers to another key (``${max_iterations}``) and the
values of the checkpoint agree, the reference stays, so that what is typed reaches all that follows from it. Paths that
are written to are never taken over. Nothing here imports torch before there is a checkpoint to read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, flag_override

from gan_lightning.runs.resume_policy import NOTHING, Change, refusal, watches
from gan_lightning.runs.run_dir import checkpoint_of
from gan_lightning.runs.safe_targets import allowed_targets, is_allowed, targets
from gan_lightning.utils.conf import conf_dir
from gan_lightning.utils.config_dirs import remembered_config_dirs
from gan_lightning.utils.errors import UserError

NOT_INHERITED = ("ckpt_path", "resume", "launcher", "hparams_search", "choices")
"""What says how a run began, and not what it is."""

GUARDED = ("callbacks", "logger", "trainer")
"""Parts that may write anywhere: of these only values of keys that our own configuration has are taken over."""

REFERENCE = re.compile(r"\$\{(?:oc\.select:)?([\w.]+)(?:,null)?\}")
"""A value that is that of another key."""

OF_THIS_RUN = re.compile(r"\$\{(hydra:runtime\.output_dir|hydra:job|job_type|sweep_name|sweep_or_run_dir|now)")
"""Values that say where and when a run takes place."""

NAME = re.compile(r"\w[\w.,=+-]*")
"""Names that may become a part of a path."""


def choice_lines(choices: object, typed: Sequence[Override]) -> list[str]:
    """Return the overrides that answer the questions of conf/ as a run did, but for those that `typed` answers.

    Answers without a file in our conf/ are left out: the values that they gave are taken over all the same.

    Args:
        choices: as the settings of a checkpoint hold them.
        typed: what is typed now.
    """
    folders = [Path(conf_dir()), *remembered_config_dirs()]
    again = {override.key_or_group for override in typed}

    def is_answer(group: object, answer: object) -> bool:
        safe = all(isinstance(name, str) and NAME.fullmatch(name) for name in (group, answer))
        return safe and any((folder / str(group) / f"{answer}.yaml").is_file() for folder in folders)

    lines = []
    for group, answer in choices.items() if isinstance(choices, dict) else ():
        if group in again or group in NOT_INHERITED or group == "hydra":
            continue
        if isinstance(answer, list) and answer and all(is_answer(group, each) for each in answer):
            lines.append(f"{group}=[{','.join(answer)}]")
        elif is_answer(group, answer):
            lines.append(f"{group}={answer}")
    return lines


def inherit(config: DictConfig) -> None:
    """Give a composed configuration the settings of the checkpoint that it names, where nothing else is typed.

    Args:
        config: of Hydra, `hydra` included; changed in place.

    Raises:
        UserError: there is no such checkpoint; what is typed answers another question than its run did; or the run
            added what could write anywhere, or names code that neither conf/ nor the command line does.
    """
    if config.ckpt_path is None:
        return
    from gan_lightning.runs.checkpoints import read_settings

    checkpoint = checkpoint_of(config.ckpt_path)
    settings = read_settings(checkpoint)
    before = settings.get("choices")
    typed = OverridesParser.create().parse_overrides([str(line) for line in config.hydra.overrides.task])
    keys = typed_keys(typed, before if isinstance(before, dict) else {}, checkpoint)
    if not NAME.fullmatch(str(settings.get("name"))):
        keys.add("name")  # it becomes part of a path
    written: Any = OmegaConf.to_container(config, resolve=False)
    written.pop("hydra")
    allowed = allowed_targets() | set(targets({key: part for key, part in written.items() if key not in GUARDED}))
    game = {key: part for key, part in settings.items() if key not in (*GUARDED, *NOT_INHERITED) and key not in keys}
    unknown = [f"_target_={name}" for name in dict.fromkeys(map(str, targets(game))) if not is_allowed(name, allowed)]
    with flag_override(config, ["struct", "readonly"], [False, False]):
        taken = TakeOver(settings, keys)
        taken.merge(config, written, settings, "")
    if unknown := unknown + taken.refused:
        raise UserError(
            f"{checkpoint} has {', '.join(unknown)}, which is in no file of conf/: type it again if you trust it, or "
            "give another value"
        )


class TakeOver:
    """The values of a checkpoint on their way into a configuration.

    Args:
        settings: of the checkpoint, plain.
        typed: keys that keep their value, with all below them.

    Attributes:
        refused: keys of the checkpoint that are not taken over, and cannot be left out without a word.
    """

    def __init__(self, settings: Mapping[str, Any], typed: Collection[str]) -> None:
        self.settings, self.typed = settings, typed
        self.refused: list[str] = []

    def merge(self, node: DictConfig, written: Mapping[str, Any], values: Mapping[str, Any], above: str) -> None:
        """Give `node`, which is `written` so before references are filled in, the `values` of the checkpoint."""
        for name in [*values, *(name for name in written if name not in values and name != "hydra")]:
            key = f"{above}{name}"
            mine, value = written.get(name, NOTHING), values.get(name, NOTHING)
            if key in self.typed or key in NOT_INHERITED or (isinstance(mine, str) and OF_THIS_RUN.search(mine)):
                continue
            if isinstance(mine, dict) and isinstance(value, dict):
                self.merge(node[name], mine, value, f"{key}.")
            elif any(typed.startswith(f"{key}.") for typed in self.typed) or self.is_same(mine, value):
                continue
            elif value is NOTHING:
                if above or isinstance(mine, dict):  # a key of train.yaml that is newer than the checkpoint stays
                    del node[name]
            elif self.may_take(key, mine, value):
                node[name] = value
            else:
                self.refused.append(key)

    def is_same(self, mine: Any, value: Any) -> bool:
        """Return whether `value` is what the configuration has: itself, or that of the key that it refers to."""
        if isinstance(mine, str) and (reference := REFERENCE.fullmatch(mine)):
            other: Any = self.settings
            for name in reference[1].split("."):
                other = other.get(name) if isinstance(other, dict) else None
            mine = other
        return type(mine) is type(value) and bool(mine == value)

    def may_take(self, key: str, mine: Any, value: Any) -> bool:
        """Return whether a value cannot do harm: it is part of the game, or a plain value where we have one."""
        part, _, name = key.rpartition(".")
        if key.partition(".")[0] not in GUARDED:
            return bool(part) or mine is not NOTHING
        parts = value if isinstance(value, list) else [value]
        plain = not any(isinstance(each, (dict, list)) for each in parts)
        return bool(part) and mine is not NOTHING and plain and not name.startswith("_")


def typed_keys(typed: Sequence[Override], before: Mapping[str, Any], checkpoint: object) -> set[str]:
    """Return the keys that keep what is typed: those of values, and groups that are answered anew.

    Raises:
        UserError: a group that makes the game is answered otherwise than the run did.
    """
    keys, changed = set(), []
    for override in typed:
        key, value = str(override.key_or_group), override.value()
        if key.partition("/")[0].partition(".")[0] == "hydra":
            continue
        if not is_group(key, before):
            keys.add(key)
        elif value != before.get(key):
            keys.add(key)
            if not watches(key):
                changed.append(Change(key, before.get(key, NOTHING), value))
    if changed:
        raise UserError(refusal(checkpoint, changed))
    return keys


def is_group(key: str, before: Mapping[str, Any]) -> bool:
    """Return whether a key is a question of conf/."""
    return key in before or Path(conf_dir(), key).is_dir()
