"""Files of conf/, their lists of defaults, and the answers that a job is composed of. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    lines = read_conf(Path(group, f"{choice}.yaml"), folders).get("defaults") or ()
    return tuple(line_of(line) for line in lines if line != "_self_")


def lineage(group: str, choice: str, folders: tuple[str, ...]) -> list[str]:
    """Return the names of the files of a group that a choice builds on, and its own last."""
    keys = [key for key, _ in defaults_of(group, choice, folders) if key.startswith(PARENT)]
    return [*(name for key in keys for name in lineage(group, key.removeprefix(PARENT), folders)), choice]


def read_conf(name: str | Path, folders: Sequence[str | Path]) -> dict[str, Any]:
    """Return the content of the file of that name in the first of the folders that has it; empty where none has.

    It is read by the C library, within a millisecond, and not by OmegaConf: every command waits for it.
    """
    path = next((path for folder in folders if (path := Path(folder, name)).is_file()), None)
    content = None if path is None else yaml.load(path.read_bytes(), LOADER)
    return content if isinstance(content, dict) else {}


def line_of(line: Any) -> tuple[str, Answer]:
    """Return a line of a list of defaults as (group, answer)."""
    if not isinstance(line, dict):
        return f"{PARENT}{line}", None
    key, answer = next(iter(line.items()))
    return str(key).removeprefix("override ").removeprefix("optional ").strip("/").partition("@")[0], answer
