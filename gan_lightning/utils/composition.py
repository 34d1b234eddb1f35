"""Configurations composed of conf/, and what is wrong with overrides that do not fit, in one sentence each."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from hydra import compose
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_lightning.utils.conf import hydra_at_conf, leaves, quoted
from gan_lightning.utils.errors import UserError

COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, ValueError)
"""Errors of composing a configuration."""

MOST_LISTED = 15
"""Choices of a group that are all named; of more, `--help` tells."""


def compose_packaged(config_name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Compose a configuration of the package's conf/, also within a running Hydra job, which it leaves as it is.

    Args:
        config_name: of the file in conf/, such as "train".
        overrides: as on the command line.

    Raises:
        UserError: an override does not fit.
    """
    with hydra_at_conf():
        return compose_checked(config_name, overrides)


def compose_checked(config_name: str, overrides: Sequence[str], *, hydra: bool = False) -> DictConfig:
    """Compose a configuration, with Hydra's own part if `hydra`, where Hydra is initialised; see `compose_packaged`."""
    try:
        return compose(config_name, list(overrides), return_hydra_config=hydra)
    except COMPOSITION_ERRORS as error:
        raise UserError(problems_of(error, config_name, overrides)) from error


def problems_of(error: Exception, config_name: str, overrides: Sequence[str]) -> list[str]:
    """Return a sentence for each mistake in overrides that could not be composed, with `error`."""
    return mistakes(GlobalHydra.instance().config_loader(), config_name, overrides) or [sentence(error)]


def mistakes(loader: ConfigLoader, config_name: str, overrides: Sequence[str], *, sweep: bool = False) -> list[str]:
    """Return what is wrong with overrides, a sentence each.

    Args:
        loader: of Hydra, with the folders that hold the configuration.
        config_name: of the file that is composed, such as "train".
        overrides: as typed.
        sweep: several values of a key are a job each.
    """
    parsed, problems = parse(overrides)
    if problems:
        return problems
    choices = [override for override in parsed if loader.get_group_options(override.key_or_group)]
    base_groups = loader.load_configuration(config_name, [], RunMode.RUN).hydra.runtime.choices
    if problems := [problem for override in choices for problem in choice_problems(override, loader, base_groups)]:
        return problems
    plain = [str(override.input_line) for override in choices if not override.is_sweep_override()]
    try:
        known = loader.load_configuration(config_name, plain, RunMode.RUN)
    except COMPOSITION_ERRORS:
        return []
    for override in parsed:
        if override.is_sweep_override() and not sweep:
            problems.append(several_values(override))
        if override not in choices:
            found = list(key_problems(override, known, loader.get_group_options("", None)))
            problems += found
            if override.is_add() and not found and not override.is_sweep_override():
                OmegaConf.update(known, str(override.key_or_group), override.value(), force_add=True)
    return problems


def sentence(error: BaseException) -> str:
    """Return an error of Hydra or OmegaConf as one sentence."""
    text = str(error).partition("Config search path")[0].partition("See https://hydra.cc")[0]
    lines = [line.strip().rstrip(".") for line in text.splitlines() if line.strip()]
    key = next((line.partition(":")[2].strip() for line in lines if line.startswith("full_key:")), "")
    lines = [line for line in lines if not line.startswith(("full_key:", "object_type", "reference_type"))]
    return f"{key}: {' '.join(lines)}" if key else " ".join(lines)


def parse(overrides: Sequence[str]) -> tuple[list[Override], list[str]]:
    """Return the overrides that Hydra can read, and a sentence for each that it cannot."""
    parsed, problems = [], []
    for line in overrides:
        key, sign, value = line.partition("=")
        if not key.strip("+~") or not (sign or line.startswith("~")):
            problems.append(f"{line} is no override: write key=value, or group=choice")
            continue
        try:
            parsed += OverridesParser.create().parse_overrides([line])
        except HydraException:
            problems.append(f"{line} cannot be read: quote the value, as in {quoted_override(key, value)}")
    return parsed, problems


def quoted_override(key: str, value: str) -> str:
    """Return an override as a shell takes it, whose value Hydra reads as it stands."""
    if any(sign in value for sign in '"$`\\!'):
        return shlex.quote(f"{key}={quoted(value)}")
    return f'"{key}=\\"{value}\\""' if "'" in value else f"\"{key}='{value}'\""


def choice_problems(override: Override, loader: ConfigLoader, base_groups: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each file that `override` chooses and that is not there."""
    group = str(override.key_or_group)
    options = loader.get_group_options(group)
    if override.is_add() and not override.is_force_add() and "/" not in group and group in base_groups:
        yield f"{group} is a group already: leave the + out"
        return
    if override.is_sweep_override():
        names: Any = list(override.sweep_string_iterator()) if override.is_choice_sweep() else []
    else:
        value = override.value()
        names = value if isinstance(value, list) else [value]
    for name in names:
        if name is None or override.is_delete() or str(name) in options:
            continue
        close = get_close_matches(str(name), options, 1)
        meant = [f"did you mean {group}={close[0]}?"] if close else []
        others = [f"choose {', '.join(options)}"] if len(options) <= MOST_LISTED else ["--help lists the choices"]
        yield f"{group}={name} is no choice: {' '.join(meant or others)}"


def key_problems(override: Override, known: DictConfig, groups: Sequence[str]) -> Iterator[str]:
    """Yield a sentence if the configuration `known` has no such key, or has one that is to be added."""
    key = str(override.key_or_group)
    there = has_key(known, key)
    if override.is_add():
        if there and not isinstance(OmegaConf.select(known, key), DictConfig):
            yield f"{key} is a key already: leave the + out"
    elif not override.is_force_add() and not there:
        yield f"{key} is no key here: {way_out(key, known, groups)}"


def has_key(config: DictConfig, key: str) -> bool:
    """Return whether a configuration has a key, whatever it refers to."""
    node: Any = config
    for name in key.split("."):
        if not isinstance(node, DictConfig) or name not in node.keys():  # noqa: SIM118, `in` fills the value in
            return False
        node = node._get_node(name)
    return True


def way_out(key: str, known: DictConfig, groups: Sequence[str]) -> str:
    """Return what was meant by a key that is not in the configuration, or what there is in its place."""
    tree: Any = OmegaConf.to_container(known, resolve=False)
    keys = {name for leaf, _ in leaves(tree) for name in prefixes(leaf)}
    keys = {name for name in keys if name.startswith("hydra") == key.startswith("hydra")}
    parent, _, name = key.rpartition(".")
    siblings = sorted({other[len(parent) :].lstrip(".").split(".")[0] for other in keys if is_below(other, parent)})
    if close := get_close_matches(name, [*siblings, *(() if parent else groups)], 1):
        return f"did you mean {parent}{'.' if parent else ''}{close[0]}?"
    if same := [other for other in keys if other.rpartition(".")[2] == name]:
        return f"did you mean {min(same, key=lambda other: (other.count('.'), other))}?"
    if parent and (listed := [sibling for sibling in siblings if not sibling.startswith("_")]):
        return f"{parent} has {', '.join(listed)}"
    close = get_close_matches(key, sorted(keys), 1)
    return f"did you mean {close[0]}?" if close else "--help lists the keys"


def is_below(key: str, parent: str) -> bool:
    """Return whether `key` is below `parent`, of which the empty one is the root."""
    return not parent or key.startswith(f"{parent}.")


def prefixes(key: str) -> list[str]:
    """Return ``a``, ``a.b`` and ``a.b.c`` for ``a.b.c``."""
    parts = key.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def several_values(override: Override) -> str:
    """Return the sentence on a key with several values outside a sweep."""
    key, _, value = str(override.input_line).partition("=")
    return (
        f"{key}={value} is several values: add -m for a sweep, write {key}=[{value}] for a list, or quote a text, as "
        f"in {quoted_override(key, value)}"
    )
