"""Where the configuration lies, and the paths that it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import ListConfig, OmegaConf

from gan_lightning.utils.errors import UserError

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
    """Make the resolvers that our files use known to it: ``${float:...}``, ``${widened:...}`` and others."""
    OmegaConf.register_new_resolver("float", float, replace=True)
    OmegaConf.register_new_resolver("total", _total, replace=True)
    OmegaConf.register_new_resolver("widened", _widened, replace=True)
    OmegaConf.register_new_resolver("job_type", lambda: "sweep" if sweep_dir() else "train", replace=True)
    OmegaConf.register_new_resolver("sweep_name", _sweep_name, replace=True)
    OmegaConf.register_new_resolver("sweep_or_run_dir", _sweep_or_run_dir, replace=True)


def _total(*numbers: int | None) -> int:
    """The sum; null counts for nothing."""
    return sum(number or 0 for number in numbers)


def _widened(shape: Sequence[int], times: int, plus: int | None = 0) -> ListConfig:
    """`shape` with `times` as many channels, and `plus` more; null counts for nothing."""
    return ListConfig([shape[0] * times + (plus or 0), *shape[1:]])


def _sweep_name() -> str | None:
    directory = sweep_dir()
    return directory.name if directory else None


def _sweep_or_run_dir() -> str:
    return str(sweep_dir() or HydraConfig.get().runtime.output_dir)


def checkpoint_of(path: str | None, which: str = "last") -> Path:
    """The checkpoint that `path` names: itself, or its run directory's `which`, best or last.

    Raises:
        UserError: when there is none.
    """
    if not path:
        raise UserError("name a run or a checkpoint: ckpt_path=outputs/runs/...")
    found = Path(path).expanduser()
    if found.is_dir():
        found = found / "checkpoints" / f"{which}.ckpt"
    if not found.is_file():
        raise UserError(
            f"ckpt_path={path} holds no checkpoint, {found} does not exist: give a run directory or a .ckpt file"
        )
    return found


def run_directory(checkpoint: Path) -> Path:
    """The run directory that a checkpoint lies in; the checkpoint's own folder when it was moved out of one."""
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent
