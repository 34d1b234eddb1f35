"""What `ckpt_path`, `init_from` and `resume` stand for on a command line, before Hydra reads it.

``init_from`` brings the answers that make its networks; their values follow in `init_networks`.
``ckpt_path=<run directory>`` resumes in that directory, ``ckpt_path=<file>`` in a new one, each with the answers that
the run was composed of; its values follow in `inherit`. ``resume=auto`` gives a command a directory of its own, so that
it finds its run again. Nothing here imports torch before there is a checkpoint to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from gan_lightning.runs.inherit import choice_lines
from gan_lightning.runs.init_networks import network_lines
from gan_lightning.runs.resume_policy import may_change
from gan_lightning.runs.run_dir import RUNS, checkpoint_of, newest_run
from gan_lightning.trainer.ranks import is_sweep
from gan_lightning.utils.conf import quoted, unquoted
from gan_lightning.utils.errors import UserError

COMPARED = ("ckpt_path", "data.root", "trainer.precision")
"""What may be written otherwise when a run is resumed, and makes another run all the same when one starts."""


def expand_resume_overrides(arguments: Sequence[str]) -> list[str]:
    """Return the command line with what `ckpt_path` and `resume` stand for written out.

    Done twice, it is the same as done once: further ranks are started with a command line that is whole already.

    Args:
        arguments: as typed, without the program.

    Raises:
        UserError: there is nothing to resume, or nowhere.
    """
    given = [argument for argument in arguments if is_override(argument)]
    try:
        typed = OverridesParser.create().parse_overrides(given)
    except HydraException:
        return list(arguments)  # Hydra tells what is wrong with it
    start, resume = (value_of(key, typed) for key in ("ckpt_path", "resume"))
    sources = values_of("init_from", typed)
    if start is None and sources:
        lines = common_network_lines(sources, typed)
        given, arguments = [*given, *lines], [*arguments, *lines]
        typed = OverridesParser.create().parse_overrides(given)
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
    """Return whether an argument sets a key, and is not an option of Hydra's."""
    return argument.startswith("~") or ("=" in argument and not argument.startswith("-"))


def value_of(key: str, overrides: Sequence[Override]) -> Any:
    """Return what the last of `overrides` for `key` sets it to; None where there is none."""
    values = [override.value() for override in overrides if override.key_or_group == key and not override.is_delete()]
    return values[-1] if values else None


def values_of(key: str, overrides: Sequence[Override]) -> list[str]:
    """Return what the last of `overrides` for `key` sets it to, the values of a sweep one by one; null is none."""
    last = next((override for override in reversed(overrides) if override.key_or_group == key), None)
    if last is None or last.is_delete() or last.value() is None:
        return []
    return (
        [unquoted(value) for value in last.sweep_string_iterator()] if last.is_sweep_override() else [str(last.value())]
    )


def common_network_lines(sources: Sequence[str], typed: Sequence[Override]) -> list[str]:
    """Return `network_lines`, on which the checkpoints of a sweep must agree: a sweep is composed as a whole.

    Raises:
        UserError: there is no such checkpoint, or they differ.
    """
    found = [network_lines(source, typed) for source in sources]
    for source, lines in zip(sources, found, strict=True):
        if lines != found[0]:
            differing = sorted(set(lines) ^ set(found[0]))
            raise UserError(
                f"init_from: {source} and {sources[0]} have other networks ({', '.join(differing)}): sweep over runs "
                "of one model, prior and variant, or type these"
            )
    return found[0]


def lines_from(start: str, typed: Sequence[Override]) -> list[str]:
    """Return the answers of the run or file `start` with `typed` on top, and the directory to resume in."""
    directory = value_of("hydra.run.dir", typed)
    path = Path(directory or newest_run()) if start == "last" else Path(start).expanduser()
    if start == "last" and not (path / "checkpoints" / "last.ckpt").is_file():
        raise UserError(f"ckpt_path=last finds no checkpoint in {path}: give the directory of a run that has saved one")
    lines = [f"ckpt_path={quoted(str(path))}" if as_typed(o) == "ckpt_path=last" else as_typed(o) for o in typed]
    checkpoint = checkpoint_of(str(path))
    from gan_lightning.runs.checkpoints import read_settings  # imports torch, which a missing checkpoint does not need

    lines = choice_lines(read_settings(checkpoint).get("choices"), typed) + lines
    if path.is_dir():
        if directory is None:
            lines.append(f"hydra.run.dir={quoted(str(path))}")
        elif Path(str(directory)).resolve() != path.resolve():
            raise UserError(
                f"ckpt_path={start} is resumed in {path} itself: leave hydra.run.dir out, or give "
                f"ckpt_path={path / 'checkpoints' / 'last.ckpt'} to start another run from there"
            )
    elif directory is None and value_of("resume", typed) == "auto":
        lines.append(auto_run_dir(typed))
    return lines


def as_typed(override: Override) -> str:
    """Return an override as it was typed."""
    return str(override.input_line)


def auto_run_dir(typed: Sequence[Override]) -> str:
    """Return the run directory of a command that starts or resumes: the same one whenever it is for the same game."""
    compared = {
        f"{override.get_key_element()}": as_typed(override) if override.is_sweep_override() else override.value()
        for override in typed
        if not override.is_hydra_override()
        and (override.key_or_group in COMPARED or not may_change(str(override.key_or_group)))
    }
    digest = blake2b(repr(sorted(compared.items(), key=str)).encode(), digest_size=4).hexdigest()
    return f"hydra.run.dir='{RUNS}/auto_${{name}}_{digest}'"
