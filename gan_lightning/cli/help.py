"""`--help` of the three commands: groups and keys with the comments that stand beside them in conf/."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_lightning.utils.choices import LOADER, lineage
from gan_lightning.utils.composition import compose_checked, parse
from gan_lightning.utils.conf import conf_dir, format_value

FLAGS = {
    "--cfg job": "print the configuration that the command line gives, and do nothing else",
    "--multirun, -m": "a sweep: a job for each combination of values that are listed with commas",
    "--config-dir DIR": "a folder of your own laid out as conf/, whose files are choices too",
    "--hydra-help": "the other options, which are Hydra's",
}

COLUMN = 34
"""Where meanings begin."""


class Key(NamedTuple):
    """A key of a file in conf/ with its value there and the comment beside it."""

    name: str
    written: Any
    comment: str


def help_text(config_name: str, overrides: Sequence[str]) -> str:
    """Return the help of a command, where Hydra is initialised.

    Args:
        config_name: of its file in conf/, such as "train".
        overrides: choose the files and values that are shown; those of a sweep are left out.

    Raises:
        UserError: an override does not fit.
    """
    parsed, _ = parse(overrides)
    swept = {override.input_line for override in parsed if override.is_sweep_override()}
    lines = [line for line in overrides if line not in swept]
    config = compose_checked(config_name, [*lines, "hydra.mode=RUN"], hydra=True)
    choices = {group: [choice] for group, choice in config.hydra.runtime.choices.items()}
    for override in parsed:
        if override.input_line not in swept and isinstance(
            names := override.value(), list
        ):  # which Hydra leaves out of its choices
            choices[str(override.key_or_group)] = [str(name) for name in names]
    root = Path(conf_dir(), f"{config_name}.yaml")
    sources = GlobalHydra.instance().config_loader().get_sources()
    folders = [Path(source.path) for source in sources if source.scheme() == "file"]  # one's own before conf/
    blocks = [header(root), *(group_block(*group, choices, folders) for group in groups(root))]
    keys = "Keys, with their values by default" + (", of the choices that are marked *:" if groups(root) else ":")
    blocks += [keys, keys_block([key for key in keys_of(root) if not key.name.startswith("hydra")], config)]
    for group, chosen in choices.items():
        for choice in chosen:
            folder = next((each for each in folders if Path(each, group, f"{choice}.yaml").is_file()), None)
            if folder is not None:
                blocks.append(keys_block(group_keys(folder / group, str(choice)), config))
    blocks.append("Options:\n" + "\n".join(row(f"  {flag}", meaning) for flag, meaning in FLAGS.items()))
    return "\n\n".join(block for block in blocks if block)


def header(file: Path) -> str:
    """Return the comment at the top of a file."""
    lines = file.read_text(encoding="utf-8").splitlines()
    opening = lines[: next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))]
    return "\n".join(line[2:] for line in opening if not line.startswith("# @package"))


def summary(file: Path) -> str:
    """Return the first sentence of the comment at the top of a file."""
    text = header(file).partition("\n  ")[0]  # the command lines below it are indented
    return re.split(r"(?<!\bal|\beq)\.\s+(?=\D)|\.$", " ".join(text.split()), maxsplit=1)[0]


def groups(root: Path) -> list[tuple[str, str]]:
    """Return the groups of a command with the comments beside them, those that win over others first."""
    found = re.findall(r"^  - (\w+): \S+[ #]*(.*)$", root.read_text(encoding="utf-8"), re.MULTILINE)
    return found[::-1]


def group_block(group: str, comment: str, choices: Mapping[str, Sequence[Any]], folders: Sequence[Path]) -> str:
    """Return the choices of a group that `folders` have, a line each, those of `choices` marked."""
    rows = [f"{group}=  {comment}"]
    files = {file.stem: file for folder in reversed(folders) for file in Path(folder, group).glob("*.yaml")}
    for name, file in sorted(files.items()):
        term = ("* " if name in choices.get(group, ()) else "  ") + name
        rows.append(row(term, textwrap.shorten(summary(file), _width() - COLUMN - 1, placeholder=" ...")))
    return "\n".join(rows)


def keys_block(keys: Iterable[Key], config: DictConfig) -> str:
    """Return keys with their values in `config`, a line each."""
    return "\n".join(row(f"  {key.name}{value_shown(key, config)}", key.comment) for key in keys if key.comment)


def value_shown(key: Key, config: DictConfig) -> str:
    """Return ``=value``; nothing for a value that is a part of its own, or that refers to what is not known yet."""
    value = key.written
    try:
        found = OmegaConf.select(config, key.name, default=value)
        value = OmegaConf.to_container(found, resolve=True) if OmegaConf.is_config(found) else found
    except (OmegaConfBaseException, ValueError):
        pass
    shown = format_value(value).replace(" ", "")
    return "" if isinstance(value, dict) and value or "${" in shown else f"={shown}"


def group_keys(folder: Path, choice: str) -> list[Key]:
    """Return the keys of a file in the folder of a group, named as on the command line, each with its comment.

    A key without one has that of the same key in another file of the folder.
    """
    names = lineage(folder.name, choice, (str(folder.parent),))
    found = {key.name: key for name in names for key in keys_of(folder / f"{name}.yaml")}
    others = {key.name: key.comment for file in folder.glob("*.yaml") for key in keys_of(file) if key.comment}
    package = re.match(r"# @package (\S+)", (folder / f"{choice}.yaml").read_text(encoding="utf-8"))
    start = {"_global_": ""}.get(package[1], f"{package[1]}.") if package else f"{folder.name}."
    return [Key(start + name, written, comment or others.get(name, "")) for name, written, comment in found.values()]


@cache
def keys_of(file: Path) -> list[Key]:
    """Return the keys of a file in conf/ that a user may set, each with the comment beside it.

    A key without one has that of the same key elsewhere in the file, as of the other player's network.
    """
    text = file.read_text(encoding="utf-8")
    node = yaml.compose(text, Loader=LOADER)
    found = [key for key in walk(node, text.splitlines()) if not key.name.startswith("defaults")]
    named = {key.name.rpartition(".")[2]: key.comment for key in reversed(found) if key.comment}
    return [Key(name, written, comment or named.get(name.rpartition(".")[2], "")) for name, written, comment in found]


def walk(node: Any, lines: Sequence[str], prefix: str = "") -> Iterator[Key]:
    """Yield the keys below a mapping of YAML, at any depth, but for those that name code or refer to other keys."""
    for name, value in node.value:
        key = prefix + name.value
        if isinstance(value, yaml.MappingNode) and value.value:
            yield from walk(value, lines, f"{key}.")
            continue
        block = value.start_mark.line > name.start_mark.line
        comment = comment_after(lines, name.end_mark if block else value.end_mark)
        written = LOADER("").construct_object(value, deep=True)
        if not name.value.startswith("_") and (comment or "${" not in str(written)):
            yield Key(key, written, comment)


def comment_after(lines: Sequence[str], mark: Any) -> str:
    """Return the comment behind a mark in a file, with the lines below that carry it on in the same column."""
    before, sign, comment = lines[mark.line][mark.column :].partition("#")
    if not sign:
        return ""
    words, column = [comment.strip()], mark.column + len(before)
    for line in lines[mark.line + 1 :]:
        if not line.startswith(" " * column + "#"):
            break
        words.append(line.strip().removeprefix("#").strip())
    return " ".join(words)


def row(term: str, meaning: str) -> str:
    """Return a term with its meaning beside it, wrapped to the width of the terminal."""
    start = f"{term:<{COLUMN}} " if len(term) <= COLUMN else f"{term}  "
    wrapped = textwrap.wrap(
        meaning,
        _width(),
        initial_indent=start,
        subsequent_indent=" " * (COLUMN + 1),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(wrapped) or term


def _width() -> int:
    return max(60, min(shutil.get_terminal_size((120, 24)).columns, 120))
