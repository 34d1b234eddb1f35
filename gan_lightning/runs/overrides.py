"""Going on from a run: what was typed becomes everything that the run is made of, before Hydra reads it.

``ckpt_path=<run directory>`` goes on in that directory, ``ckpt_path=<file>`` in a new one, each with that run's own
overrides under what is typed now. ``resume=auto`` gives a command a directory of its own, so that it finds its run
again. Nothing here imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from gan_lightning.runs.resume_policy import may_change
from gan_lightning.runs.run_dir import RUNS, checkpoint_of, newest_run, run_directory
from gan_lightning.runs.safe_targets import allowed_targets
from gan_lightning.trainer.ranks import is_sweep
from gan_lightning.utils.conf import conf_dir, quoted
from gan_lightning.utils.errors import UserError

ASKED_ANEW = ("ckpt_path", "trainer.precision")
"""What may be written otherwise when a run goes on, and makes another run all the same when one starts."""

NOT_INHERITED = ("ckpt_path", "resume", "launcher", "hparams_search")
"""What says how a run began, and not what it is. A job of a sweep goes on by itself."""


def expand_resume_overrides(arguments: Sequence[str]) -> list[str]:
    """The command line with what `ckpt_path` and `resume` stand for written out.

    Done twice, it is the same as done once: further ranks are started with a command line that is whole already.

    Args:
        arguments: as typed, without the program.

    Raises:
        UserError: there is nothing to go on from, or nowhere.
    """
    given = [argument for argument in arguments if is_override(argument)]
    try:
        typed = OverridesParser.create().parse_overrides(given)
    except HydraException:
        return list(arguments)  # Hydra tells what is wrong with it
    start, resume = value_of("ckpt_path", typed), value_of("resume", typed)
    if start is None and resume != "auto":
        return list(arguments)
    if is_sweep(arguments):
        if start is None:
            return list(arguments)  # each job looks in its own directory of the sweep's
        raise UserError("ckpt_path names one run: continue a sweep with resume=auto and hydra.sweep.dir=<its folder>")
    lines = [str(override.input_line) for override in typed]
    if start is not None:
        lines = lines_from(str(start), typed)
    elif value_of("hydra.run.dir", typed) is None:
        lines.append(auto_run_dir(typed))
    return [argument for argument in arguments if not is_override(argument)] + lines


def is_override(argument: str) -> bool:
    """Whether an argument sets a key, and is not an option of Hydra's."""
    return argument.startswith("~") or ("=" in argument and not argument.startswith("-"))


def value_of(key: str, overrides: Sequence[Override]) -> Any:
    """What the last of `overrides` for `key` sets it to; None where there is none."""
    values = [override.value() for override in overrides if override.key_or_group == key and not override.is_delete()]
    return values[-1] if values else None


def lines_from(start: str, typed: Sequence[Override]) -> list[str]:
    """The overrides of the run or file `start` with `typed` on top, and the directory to go on in."""
    directory = value_of("hydra.run.dir", typed)
    path = Path(directory or newest_run()) if start == "last" else Path(start).expanduser()
    if start == "last" and not (path / "checkpoints" / "last.ckpt").is_file():
        raise UserError(f"ckpt_path=last finds no checkpoint in {path}: give the directory of a run that has saved one")
    run = run_directory(checkpoint_of(str(path)))
    lines = [f"ckpt_path={quoted(str(path))}" if as_typed(o) == "ckpt_path=last" else as_typed(o) for o in typed]
    before = recorded(run)
    taken = inherited_overrides(before, typed)
    refuse_foreign_code([override for override in before if as_typed(override) in taken], run)
    lines = taken + lines
    if path.is_dir():
        if directory is None:
            lines.append(f"hydra.run.dir={quoted(str(path))}")
        elif Path(str(directory)).resolve() != path.resolve():
            raise UserError(
                f"ckpt_path={start} goes on in {path} itself: leave hydra.run.dir out, or give "
                f"ckpt_path={path / 'checkpoints' / 'last.ckpt'} to start another run from there"
            )
    elif directory is None and value_of("resume", typed) == "auto":
        lines.append(auto_run_dir(typed))
    return lines


def recorded(run: Path) -> list[Override]:
    """The overrides that `run` was made with; none where it has no record of them.

    Raises:
        UserError: the record cannot be read.
    """
    file = run / "overrides.yaml"
    if not file.is_file():
        return []
    try:
        lines: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
        overrides = OverridesParser.create().parse_overrides([str(line) for line in lines])
    except (HydraException, OmegaConfBaseException, YAMLError, OSError, TypeError) as error:
        raise UserError(f"{file} is no record of a run's overrides: mend it, or type them yourself") from error
    return [override for override in overrides if is_inherited(override)]


def is_inherited(override: Override) -> bool:
    """Whether it says what a run is, and not how it began."""
    return not of_hydra(override) and str(override.key_or_group).split(".")[0] not in NOT_INHERITED


def of_hydra(override: Override) -> bool:
    """Whether it is about how the program is run."""
    names = (str(override.key_or_group), str(override.package or ""))
    return any(re.split(r"[./@]", name.removeprefix("_global_."))[0] == "hydra" for name in names)


def refuse_foreign_code(overrides: Sequence[Override], run: Path) -> None:
    """A run's record may come from a stranger: it asks for no code, and no file, that conf/ does not have.

    Raises:
        UserError: one of the `overrides` does.
    """
    for override in overrides:
        line = as_typed(override)
        foreign = any(name not in allowed_targets(()) for name in re.findall(r"_target_\W*([\w.]*)", line))
        computed = "${" in re.sub(r"\$\{[\w.]+\}", "", line)  # by a function, where ${optimizer.lr} is a reference
        if foreign or computed or not answers_within_conf(override):
            raise UserError(
                f"{run / 'overrides.yaml'} has the line {line}, which asks for code or files that conf/ does not have: "
                "type it again if you trust it"
            )


def answers_within_conf(override: Override) -> bool:
    """Whether what it answers to a question, if it does, are files in the question's folder."""
    group, value = str(override.key_or_group), override.value()
    folder = Path(conf_dir(), group)
    if not ("/" in group or folder.is_dir()) or value is None:
        return True
    listed = {file.stem for file in folder.glob("*.yaml")}
    answers = value if isinstance(value, list) else [value]
    return ".." not in group and all(str(answer).strip("'\"") in listed for answer in answers)


def inherited_overrides(before: Sequence[Override], typed: Sequence[Override]) -> list[str]:
    """The lines of `before` that `typed` does not replace.

    A line is replaced by one with its key, and by another answer to the question that its key belongs to: with
    ``logger=csv``, ``logger.wandb.project=...`` has no place. What was added (``+key=...``) stays under what changes or
    deletes it.
    """
    again = {as_typed(override) for override in typed}
    anew = [override for override in typed if as_typed(override) not in map(as_typed, before)]

    def replaced(old: Override) -> bool:
        key = str(old.key_or_group)
        same = any((new.key_or_group, new.package) == (key, old.package) and not keeps(old, new) for new in typed)
        return same or any(key.startswith(f"{new.key_or_group}.") for new in anew)

    return [as_typed(old) for old in before if as_typed(old) not in again and not replaced(old)]


def keeps(old: Override, new: Override) -> bool:
    """Whether `new` needs what `old` adds."""
    return old.is_add() and not new.is_add()


def as_typed(override: Override) -> str:
    """An override as it was typed."""
    return str(override.input_line)


def auto_run_dir(typed: Sequence[Override]) -> str:
    """The run directory of a command that starts or goes on: the same one whenever it asks for the same game."""
    asked = {
        f"{override.get_key_element()}": as_typed(override) if override.is_sweep_override() else override.value()
        for override in typed
        if not override.is_hydra_override()
        and (override.key_or_group in ASKED_ANEW or not may_change(str(override.key_or_group)))
    }
    digest = blake2b(repr(sorted(asked.items(), key=str)).encode(), digest_size=4).hexdigest()
    return f"hydra.run.dir='{RUNS}/auto_${{name}}_{digest}'"
