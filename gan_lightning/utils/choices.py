"""The answers that a job's configuration is composed of, by their groups in conf/. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

Answer = str | list[str] | None

PARENT = "<"
"""Before the name of a file of the same folder that another one builds on."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def job_choices() -> DictConfig:
    """Return the answers of this job, by their groups: names, and lists of names.

    Hydra keeps no record of lists. Those that were typed count most, then those of the chosen files, of which the later
    ones in the root's defaults win, and last those of the root itself.
    """
    hydra = HydraConfig.get()
    folders = tuple(str(source.path) for source in hydra.runtime.config_sources if source.schema == "file")
    names = {str(group): answer for group, answer in hydra.runtime.choices.items() if "hydra" not in group and answer}
    parsed = OverridesParser.create().parse_overrides([str(line) for line in hydra.overrides.task])
    root = dict(defaults_of("", hydra.job.config_name, folders))
    found: dict[str, Any] = {str(override.key_or_group): override.value() for override in parsed}
    lists = {group: answer for group, answer in found.items() if group in root and isinstance(answer, list)}
    for group in reversed(root):
        for choice in [names[group]] if group in names else lists.get(group, []):
            for other, listed in lists_of(group, str(choice), folders):
                lists.setdefault(other, listed)
    for group, answer in root.items():
        if isinstance(answer, list):
            lists.setdefault(group, answer)
    return OmegaConf.create({**lists, **names})


def lists_of(group: str, choice: str, folders: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """Yield the lists that a file of a group chooses of other groups, and then those of the files it builds on."""
    lines = defaults_of(group, choice, folders)
    for key, answer in lines:
        if isinstance(answer, list):
            yield key, answer
    for key, _ in lines:
        if key.startswith(PARENT):
            yield from lists_of(group, key.removeprefix(PARENT), folders)


@cache
def defaults_of(group: str, choice: str, folders: tuple[str, ...]) -> tuple[tuple[str, Answer], ...]:
    """Return a file's list of defaults, as (group, answer); a file that it builds on as (`PARENT` + name, None)."""
    path = next((path for folder in folders if (path := Path(folder, group, f"{choice}.yaml")).is_file()), None)
    if path is None:
        return ()
    settings = yaml.load(path.read_text(encoding="utf-8"), LOADER) or {}
    return tuple(line_of(line) for line in settings.get("defaults") or () if line != "_self_")


def line_of(line: Any) -> tuple[str, Answer]:
    """Return a line of a list of defaults as (group, answer)."""
    if not isinstance(line, dict):
        return f"{PARENT}{line}", None
    key, answer = next(iter(line.items()))
    return str(key).removeprefix("override ").removeprefix("optional ").strip("/").partition("@")[0], answer
