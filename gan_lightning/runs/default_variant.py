"""The variant of a command line that names none. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gan_lightning.runs.data_path import choices_in, config_folders
from gan_lightning.utils.choices import read_conf

DEFAULT_VARIANT = "variant=self_conditioned"
"""What trains images best without labels: see the table in docs/results.md."""

DECIDES = ("experiment", "variant", "ckpt_path", "init_from")
"""Keys that say, or bring, which variant a run has."""


def with_default_variant(arguments: Sequence[str]) -> list[str]:
    """Return a command line with ``variant=self_conditioned`` added where it names no variant and can have this one.

    It can where the samples are images that clusters can be found among (the data's file has `clusters`), the networks
    are neither class-conditional themselves nor an autoencoder of energies, and no prior is typed. ``variant=none``
    leaves it out; a published setting, ``experiment=...``, has the variant that it names or none.

    Args:
        arguments: as typed, ``data=PATH`` written out, without the program.
    """
    keys = [argument.partition("=")[0].lstrip("+~") for argument in arguments]
    decided = any(key in DECIDES or key == "prior" or key.startswith(("prior.", "wrappers")) for key in keys)
    streamed = "data.in_memory=false" in arguments  # clusters would read every file before training
    if decided or streamed:
        return list(arguments)
    allowed = all(has_clusters(file) and is_given(file, keys) for file in chosen_files("data", arguments))
    allowed = allowed and all(is_unconditional(file) for file in chosen_files("model", arguments))
    if not allowed:
        return list(arguments)
    # Hydra reads options before all overrides or after them.
    overrides = (number for number, argument in enumerate(arguments) if "=" in argument and argument[0] != "-")
    first = next(overrides, len(arguments))
    return [*arguments[:first], DEFAULT_VARIANT, *arguments[first:]]


def has_clusters(data: Mapping[str, Any]) -> bool:
    """Return whether clusters can take the place of the classes of a data set."""
    return "clusters" in data


def is_given(data: Mapping[str, Any], keys: Sequence[str]) -> bool:
    """Return whether `keys`, those that are typed, hold all that a data set has no default for."""
    return all(f"data.{key}" in keys for key, value in data.items() if value == "???")


def is_unconditional(model: Mapping[str, Any]) -> bool:
    """Return whether a model's networks read no classes by themselves, and its discriminator returns scores."""
    return not model.get("energies") and model.get("generator", {}).get("num_classes") is None


def chosen_files(group: str, arguments: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the file of each choice of a group, several in a sweep; an empty one where there is no such file."""
    folders = config_folders(arguments)
    typed = [argument.partition("=")[2] for argument in arguments if argument.partition("=")[0] == group]
    for choice in choices_in(typed[-1]) if typed else [default_choice(group, folders)]:
        yield read_conf(f"{group}/{choice}.yaml", folders)


def default_choice(group: str, folders: Sequence[Path]) -> str:
    """Return the choice that train.yaml makes for a group; the empty one where it makes none."""
    lines = read_conf("train.yaml", folders).get("defaults", [])
    return next((str(line[group]) for line in lines if isinstance(line, dict) and group in line), "")
