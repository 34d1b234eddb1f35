"""``data=PATH``, a folder or zip of images, written out before Hydra reads it. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from gan_lightning.utils.conf import conf_dir, quoted, unquoted
from gan_lightning.utils.errors import UserError

FOLDER_DATA = "image_folder"
"""The file of conf/data for images in a folder or zip."""

FOLDER_EXPERIMENT = "folder"
"""The file of conf/experiment that trains on them where no other is named."""


def expand_data_path(arguments: Sequence[str]) -> list[str]:
    """Return a command line with ``data=PATH`` written out as ``data=image_folder data.root=PATH experiment=folder``.

    The path may have any name: what is the path of a file or folder as it stands is taken so, whatever Hydra's grammar
    makes of it. In a sweep paths stand behind each other, ``data=A,B``. Another experiment that is typed stays; its
    metrics, which are those of its own data, give way to ``metrics=natural``.

    Args:
        arguments: as typed, without the program.

    Raises:
        UserError: there is no such data set and no such folder.
    """
    lines: list[str] = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        lines += data_lines(value, arguments) if key == "data" and value else [argument]
    return lines


def expand_moved_data(arguments: Sequence[str]) -> list[str]:
    """Return the command line of an evaluation with ``data=PATH`` written out as ``data.root=PATH``."""
    return [
        f"data.root={quoted(as_path(argument[5:]))}" if argument.startswith("data=") else argument
        for argument in arguments
    ]


def as_path(value: str) -> str:
    """Return the path that a value names as it stands, or without Hydra's quotes."""
    return value if Path(value).expanduser().exists() else ",".join(choices_in(value))


def data_lines(value: str, arguments: Sequence[str]) -> list[str]:
    """Return the overrides that ``data=<value>`` stands for among the `arguments`.

    Raises:
        UserError: as `expand_data_path`.
    """
    known = data_sets(arguments)
    choices = [value] if Path(value).expanduser().exists() and value not in known else choices_in(value)
    paths = [choice for choice in choices if choice not in known and choice != "null"]
    if not paths or any(argument.startswith(SEARCHED_ELSEWHERE) for argument in arguments):
        return [f"data={value}"]
    problems = [problem for path in paths for problem in not_there(path, known)]
    if problems:
        raise UserError(problems)
    if len(paths) < len(choices):
        raise UserError(f"data={value} has data sets beside folders: start a sweep for each kind")
    roots = ",".join(quoted(str(Path(path).expanduser().absolute())) for path in paths)
    lines = [f"data={FOLDER_DATA}", f"data.root={roots}"]
    typed = {argument.partition("=")[0] for argument in arguments}
    if "ckpt_path" in typed:
        return lines  # the rest is the run's own
    if "experiment" not in typed:
        return [*lines, f"experiment={FOLDER_EXPERIMENT}"]
    return lines if "metrics" in typed else [*lines, "metrics=natural"]


SEARCHED_ELSEWHERE = ("hydra.searchpath=", "--config-path", "-cp")
"""With these Hydra may know data sets that conf/data does not have."""


def data_sets(arguments: Sequence[str]) -> list[str]:
    """Return the names of data sets: files of conf/data, and of data/ in the folder that --config-dir names."""
    return sorted({file.stem for folder in config_folders(arguments) for file in folder.glob("data/*.yaml")})


def config_folders(arguments: Sequence[str]) -> list[Path]:
    """Return the folders of configuration, in the order in which Hydra looks: that of --config-dir, and conf/."""
    folders: list[Path] = []
    for option, value in zip(arguments, [*arguments, ""][1:], strict=True):
        name, _, joined = option.partition("=")
        if name in ("--config-dir", "-cd"):
            folders.append(Path(joined or value))
    return [*folders, Path(conf_dir())]


def choices_in(value: str) -> list[str]:
    """Return the values that a sweep over `value` has; itself alone where it is no sweep."""
    try:
        override = OverridesParser.create().parse_override(f"data={value}")
    except HydraException:  # names that Hydra wants in quotes
        return value.split(",")
    if override.is_sweep_override():
        return [unquoted(choice) for choice in override.sweep_string_iterator()]
    parsed = override.value()
    return [str(parsed) if isinstance(parsed, str) else value]


def not_there(path: str, known: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong where `path` is no file or folder."""
    if Path(path).expanduser().exists():
        return
    close = get_close_matches(path, known, n=1)
    way_out = f"did you mean data={close[0]}?" if close else f"choose a folder of images or one of {', '.join(known)}"
    yield f"data={path} is no data set and no folder: {way_out}"
