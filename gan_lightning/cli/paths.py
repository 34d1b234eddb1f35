"""Where the configuration lies, and the paths that it asks for."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

PACKAGE = Path(__file__).resolve().parent.parent


def conf_dir() -> str:
    """The folder conf/: inside the package when it was installed from a wheel, beside it in a clone."""
    inside = PACKAGE / "conf"
    return str(inside if inside.is_dir() else PACKAGE.parent / "conf")


def sweep_dir() -> Path | None:
    """The folder of the sweep that this job belongs to; None for a single run."""
    hydra = HydraConfig.get()
    return Path(hydra.sweep.dir) if hydra.mode == RunMode.MULTIRUN else None


def register_resolvers() -> None:
    """Make ``${sweep_name:}`` and ``${sweep_or_run_dir:}`` known to the configuration."""
    OmegaConf.register_new_resolver("sweep_name", _sweep_name, replace=True)
    OmegaConf.register_new_resolver("sweep_or_run_dir", _sweep_or_run_dir, replace=True)


def _sweep_name() -> str | None:
    directory = sweep_dir()
    return directory.name if directory else None


def _sweep_or_run_dir() -> str:
    return str(sweep_dir() or HydraConfig.get().runtime.output_dir)
