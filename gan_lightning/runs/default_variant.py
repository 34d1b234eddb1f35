"""The variant of a command line that names none. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_lightning.runs.data_path import choices_in, config_folders
from gan_lightning.utils.conf import conf_dir

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
    if decided:
        return list(arguments)
    allowed = all(has_clusters(file) and is_given(file, keys) for file in chosen_files("data", arguments))
    allowed = allowed and all(is_unconditional(file) for file in chosen_files("model", arguments))
    if not allowed:
        return list(arguments)
    # Hydra reads options before all overrides or after them.
    overrides = (number for number, argument in enumerate(arguments) if "=" in argument and argument[0] != "-")
    first = next(overrides, len(arguments))
    return [*arguments[:first], DEFAULT_VARIANT, *arguments[first:]]


def has_clusters(data: DictConfig) -> bool:
    """Return whether clusters can take the place of the classes of a data set."""
    return "clusters" in data


def is_given(data: DictConfig, keys: Sequence[str]) -> bool:
    """Return whether `keys`, those that are typed, hold all that a data set has no default for."""
    needed = (str(key) for key in data if OmegaConf.is_missing(data, str(key)))
    return all(f"data.{key}" in keys for key in needed)


def is_unconditional(model: DictConfig) -> bool:
    """Return whether a model's networks read no classes by themselves, and its discriminator returns scores."""
    written: Any = OmegaConf.to_container(model)
    return not written.get("energies") and written.get("generator", {}).get("num_classes") is None


def chosen_files(group: str, arguments: Sequence[str]) -> Iterator[DictConfig]:
    """Yield the file of each choice of a group, several in a sweep; an empty one where there is no such file."""
    typed = [argument.partition("=")[2] for argument in arguments if argument.partition("=")[0] == group]
    default = next(line[group] for line in OmegaConf.load(Path(conf_dir(), "train.yaml")).defaults if group in line)
    for choice in choices_in(typed[-1]) if typed else [default]:
        files = [folder / group / f"{choice}.yaml" for folder in config_folders(arguments)]
        read = next((OmegaConf.load(file) for file in files if file.is_file()), None)
        yield read if isinstance(read, DictConfig) else OmegaConf.create()
