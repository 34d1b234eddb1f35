"""What has to be installed beside Hydra for the launchers and searches that conf/ names."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from itertools import product

from gan_lightning.utils.errors import UserError

PLUGINS = {
    **dict.fromkeys(product(("launcher", "hydra/launcher"), ["joblib"]), "hydra-joblib-launcher"),
    **dict.fromkeys(product(("launcher", "hydra/launcher"), ["ray"]), "hydra-ray-launcher"),
    **dict.fromkeys(
        product(("launcher", "hydra/launcher"), ["slurm", "submitit_slurm", "submitit_local"]),
        "hydra-submitit-launcher",
    ),
    **dict.fromkeys(product(("hparams_search", "hydra/sweeper"), ["optuna"]), "hydra-optuna-sweeper"),
}
"""The package for each choice, by (group, answer)."""


def refuse_missing_plugins(arguments: Iterable[str]) -> None:
    """Name what to install for what the command line chooses.

    Raises:
        UserError: a chosen launcher or search is not installed.
    """
    choices = [tuple(argument.lstrip("+").split("=", 1)) for argument in arguments if "=" in argument]
    needed = {f"{group}={answer}": PLUGINS[group, answer] for group, answer in choices if (group, answer) in PLUGINS}
    problems = [
        f"{choice} needs a plugin of Hydra that is not installed: pip install {package}"
        for choice, package in needed.items()
        if not is_installed(package)
    ]
    if problems:
        raise UserError(problems)


def is_installed(package: str) -> bool:
    """Whether a plugin of Hydra is there, by the name of its package."""
    try:
        return find_spec(f"hydra_plugins.{package.replace('-', '_')}") is not None
    except ModuleNotFoundError:  # no plugin at all
        return False
