"""Hydra reads each file of conf/ once a test session, and composes equal command lines once; texts are parsed once."""

from __future__ import annotations

import os
import pickle
from collections.abc import Hashable
from functools import cache
from typing import Any

import omegaconf
from hydra._internal import defaults_list as hydra_defaults
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository, IConfigRepository
from hydra.core.default_element import InputDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobRuntime
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gan_lightning.utils.conf import conf_dir

UNCHANGING = {"pkg://hydra.conf", f"file://{conf_dir()}", "structured://"}
"""Sources whose files stay as they are while tests run."""

MODE = "hydra.mode=RUN"
"""What Hydra adds to the overrides of a single run."""

_compose, _read = ConfigLoaderImpl.load_configuration, ConfigRepository.load_config
_map = hydra_defaults._create_interpolation_map
_composed: dict[Hashable, bytes] = {}
_files: dict[Hashable, bytes] = {}


def compose_once() -> None:
    """Have Hydra do so from now on, for configurations of conf/ alone. What it returns is a copy each time."""
    ConfigLoaderImpl.load_configuration = load_configuration  # type: ignore[method-assign]
    ConfigRepository.load_config = load_config  # type: ignore[method-assign]
    hydra_defaults._create_interpolation_map = interpolation_map
    omegaconf.base.parse = omegaconf._utils.parse = cache(omegaconf.base.parse)


def load_configuration(
    self: ConfigLoaderImpl,
    config_name: str | None,
    overrides: list[str],
    run_mode: RunMode,
    from_shell: bool = True,
    validate_sweep_overrides: bool = True,
) -> DictConfig:
    """Stand in for the method of the same name."""
    arguments = (config_name, overrides, run_mode, from_shell, validate_sweep_overrides)
    name = JobRuntime.instance().conf.get("name")
    key = (config_name, *overrides, run_mode, validate_sweep_overrides, name)  # `from_shell` only words errors
    if not is_unchanging(self.repository) or any(override.startswith("hydra.searchpath") for override in overrides):
        return _compose(self, *arguments)
    # Hydra composes a command line to find its mode, and then again with that mode.
    of_mode = (config_name, *overrides[:-1], RunMode.MULTIRUN, False, name)
    if overrides[-1:] == [MODE] and of_mode in _composed:
        parsed = OverridesParser.create().parse_overrides(overrides)
        ConfigLoaderImpl.validate_sweep_overrides_legal(parsed, run_mode, from_shell)
        config: DictConfig = pickle.loads(_composed[of_mode])
        config.hydra.mode = RunMode.RUN
        config.hydra.overrides.hydra.append(MODE)
    else:
        if key not in _composed:
            _composed[key] = pickle.dumps(_compose(self, *arguments))
        config = pickle.loads(_composed[key])
    config.hydra.runtime.cwd = os.getcwd()
    return config


def load_config(self: ConfigRepository, config_path: str) -> Any:
    """Stand in for the method of the same name."""
    if not is_unchanging(self):
        return _read(self, config_path)
    if config_path not in _files:
        _files[config_path] = pickle.dumps(_read(self, config_path))
    return pickle.loads(_files[config_path])


def interpolation_map(overrides: Any, defaults_list: list[InputDefault], self_added: bool) -> DictConfig:
    """Stand in for the function of Hydra's: a quarter of composing, for what hardly a list of defaults refers to."""
    if any(default.is_interpolation() for default in defaults_list):
        return _map(overrides, defaults_list, self_added)
    return OmegaConf.create()


def is_unchanging(repository: IConfigRepository) -> bool:
    """Return whether a repository looks for files in conf/ and Hydra alone."""
    return {source.full_path() for source in repository.get_sources()} <= UNCHANGING
