"""The settings of the run that `ckpt_path` or `init_from` names, under what is typed now.

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

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from gan_lightning.runs.resume_policy import NOTHING, Change, refusal, typed_changes, watches
from gan_lightning.runs.run_dir import checkpoint_of
from gan_lightning.runs.safe_targets import allowed_targets, is_allowed, targets
from gan_lightning.utils.conf import conf_dir, leaves
from gan_lightning.utils.config_dirs import remembered_config_dirs
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.folder_facts import folder_facts

NOT_INHERITED = ("ckpt_path", "resume", "launcher", "hparams_search", "choices", "published")
"""What says how a run began or what it follows, and not what it is."""

GUARDED = ("callbacks", "logger", "trainer")
"""Parts that may write anywhere: of these only values of keys that our own configuration has are taken over."""

REFERENCE = re.compile(r"\$\{(?:oc\.select:)?([\w.]+)(?:,null)?\}")
"""A value that is that of another key."""

OF_THIS_RUN = re.compile(r"\$\{(hydra:runtime\.output_dir|hydra:job|job_type|sweep_name|sweep_or_run_dir|now)")
"""Values that say where and when a run takes place."""

CHOSEN_BY_SIZE = "${up_to:"
"""The beginning of values that conf/ chooses by the size of the data."""

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

    A checkpoint file that a new run starts from may be given other settings, which make another game: the run then
    takes its weights alone, as with `init_from`.

    Args:
        config: of Hydra, `hydra` included; changed in place.

    Raises:
        UserError: there is no such checkpoint; what is typed answers another question than the run did that is resumed;
            or the run added what could write anywhere, or names code that neither conf/ nor the command line does.
    """
    if config.ckpt_path is None:
        return
    if config.init_from is not None and "init_from" in str(config.hydra.overrides.task):
        raise UserError("ckpt_path resumes a run and init_from starts a new one: give one of them")
    from gan_lightning.runs.checkpoints import read_settings

    checkpoint = checkpoint_of(config.ckpt_path)
    settings = read_settings(checkpoint)
    before = settings.get("choices")
    before = before if isinstance(before, dict) else {}
    keys, changed = typed_keys(typed_overrides(config), before)
    anew = starts_new_run(config)
    if changed and not anew:
        raise UserError(refusal(checkpoint, changed))
    if not NAME.fullmatch(str(settings.get("name"))):
        keys.add("name")  # it becomes part of a path
    written: Any = OmegaConf.to_container(config, resolve=False)
    written.pop("hydra")
    if changed:
        keys |= keys_of_other_answers(written, before)
    allowed = allowed_in(written)
    game = {key: part for key, part in settings.items() if key not in (*GUARDED, *NOT_INHERITED) and key not in keys}
    unknown = [f"_target_={name}" for name in dict.fromkeys(map(str, targets(game))) if not is_allowed(name, allowed)]
    with flag_override(config, ["struct", "readonly"], [False, False]):
        taken = TakeOver(settings, keys)
        taken.merge(config, written, settings, "")
    if unknown := unknown + taken.refused:
        raise UserError(
            f"{checkpoint} has {', '.join(unknown)}, which is in no file of conf/: type it again if you trust it, or "
            "give another value, such as null"
        )
    if not anew and "data.train_size" not in keys:
        refuse_other_images(config, written, settings, checkpoint)
    if anew and (changed or is_another_game(settings, config)):
        config.init_from, config.ckpt_path = config.ckpt_path, None


def refuse_other_images(
    config: DictConfig, written: Mapping[str, Any], settings: Mapping[str, Any], checkpoint: Path
) -> None:
    """Raise a UserError where a folder of images has other numbers of them than when its run began."""
    data = written.get("data")
    if not isinstance(data, dict) or data.get("train_size") != "${images_in:root}":
        return
    before, facts = settings["data"].get("train_size"), folder_facts(str(config.data.root))
    if facts is not None and before is not None and facts.images != before:
        raise UserError(
            f"{config.data.root} had {before} images to train on when the run of {checkpoint} began and has "
            f"{facts.images} now, and a resumed run keeps its data: bring the folder back to what it was, or start a "
            "new run from its weights with init_from in the place of ckpt_path"
        )


def typed_overrides(config: DictConfig) -> list[Override]:
    """Return what was typed, of a configuration with `hydra` in it."""
    return OverridesParser.create().parse_overrides([str(line) for line in config.hydra.overrides.task])


def allowed_in(written: Mapping[str, Any]) -> set[str]:
    """Return the targets that the settings of a checkpoint may name: those of conf/, and of what is `written` now."""
    return {*allowed_targets(), *targets({key: part for key, part in written.items() if key not in GUARDED})}


def starts_new_run(config: DictConfig) -> bool:
    """Return whether `ckpt_path` is a file, and the run directory has no checkpoint of its own."""
    saved = Path(config.hydra.run.dir, "checkpoints", "last.ckpt").is_file()
    return Path(config.ckpt_path).expanduser().is_file() and not saved


def is_another_game(settings: Mapping[str, Any], config: DictConfig) -> bool:
    """Return whether a configuration differs from the settings of a checkpoint in more than may change."""
    job = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    try:
        return bool(typed_changes(settings, job))
    except OmegaConfBaseException:
        return False  # what cannot be filled in is refused later, by name


def keys_of_other_answers(written: Mapping[str, Any], before: Mapping[str, Any]) -> set[str]:
    """Return the keys whose values, as `written`, are not those that the answers `before` bring."""
    lines = choice_lines(before, [])
    loader = GlobalHydra.instance().config_loader()
    composed = loader.load_configuration("train", overrides=lines, run_mode=RunMode.RUN)
    then: Any = OmegaConf.to_container(composed, resolve=False)
    then.pop("hydra")
    pairs = dict(leaves(written)), dict(leaves(then))
    return {key for key in {**pairs[0], **pairs[1]} if pairs[0].get(key, NOTHING) != pairs[1].get(key, NOTHING)}


class TakeOver:
    """The values of a checkpoint on their way into a configuration.

    Args:
        settings: of the checkpoint, plain.
        typed: keys that keep their value, with all below them.
        keep_references: keep all that the configuration takes from elsewhere in it.

    Attributes:
        refused: keys of the checkpoint that are not taken over, and cannot be left out without a word.
    """

    def __init__(self, settings: Mapping[str, Any], typed: Collection[str], keep_references: bool = False) -> None:
        self.settings, self.typed, self.keep_references = settings, typed, keep_references
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
        if self.keep_references and isinstance(mine, str) and "${" in mine and not mine.startswith(CHOSEN_BY_SIZE):
            return True
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


def typed_keys(typed: Sequence[Override], before: Mapping[str, Any]) -> tuple[set[str], list[Change]]:
    """Return the keys that keep what is typed, and which groups that make the game are answered anew.

    The keys are those of values, and groups that are answered otherwise than the run did.
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
    return keys, changed


def is_group(key: str, before: Mapping[str, Any]) -> bool:
    """Return whether a key is a question of conf/."""
    return key in before or Path(conf_dir(), key).is_dir()
