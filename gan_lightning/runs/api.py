"""Runs from Python: compose a configuration, train with it, open a run, load its GAN."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig

from gan_lightning.gan import GAN
from gan_lightning.loggers import read_table
from gan_lightning.runs import checkpoints, training
from gan_lightning.runs.compose import hydra_job, without_hydra
from gan_lightning.runs.data_path import expand_data_path
from gan_lightning.runs.default_variant import with_default_variant
from gan_lightning.runs.inherit import inherit
from gan_lightning.runs.init_networks import inherit_networks
from gan_lightning.runs.log_file import log_file
from gan_lightning.runs.memory import refuse_large_networks
from gan_lightning.runs.overrides import expand_resume_overrides
from gan_lightning.runs.run_dir import checkpoint_of, discard_refused, read_config, refuse_escapes, require_writable
from gan_lightning.runs.status import Status, began, find_runs, status_of
from gan_lightning.runs.validate import refuse_arguments, validate
from gan_lightning.trainer.hardware import device_named, gpu_or_one, uses_gpu
from gan_lightning.trainer.ranks import is_sweep
from gan_lightning.utils.conf import quoted, typed
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.files import read_json
from gan_lightning.utils.instantiation import user_errors
from gan_lightning.utils.stop_signals import STOPPED_BY_HAND, Interrupted

Which = Literal["last", "best"]


@dataclass(frozen=True, init=False)
class Run:
    """A run directory, and what is to be read from it.

    It is a path in Python's sense: `load`, `evaluate` and `export` take it as they take its directory.

    Args:
        directory: of a run that has ended or is in progress.

    Raises:
        UserError: it is not a run directory.

    Examples:
        >>> run = gl.Run("outputs/runs/ring")
        >>> run.result["best"]
        {'val/jsd': 0.62, 'iteration': 500}
        >>> run.metrics["val/modes"].max()  # a pandas frame where pandas is installed
        8.0
    """

    directory: Path

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        object.__setattr__(self, "directory", Path(directory).expanduser())  # as the class is frozen
        if not (self.directory / "config.yaml").is_file():
            raise UserError(f"{self.directory} is not a run directory, it has no config.yaml: give one that train made")

    def __fspath__(self) -> str:
        return os.fspath(self.directory)

    @property
    def result(self) -> dict[str, Any]:
        """How the run ended: ``status``, ``iterations``, ``final`` and ``best`` metrics and more, of result.json.

        While the run is in progress, and where it was killed, ``status`` is "running"; `status` tells them apart.

        Raises:
            UserError: the run has not begun.
        """
        path = self.directory / "result.json"
        if not path.is_file():
            raise UserError(f"{self.directory} has no result.json: the run has not begun, or was killed")
        content = read_json(path)
        if content is None:
            raise UserError(f"{path} is not a result as train.py writes it")
        return content

    @property
    def status(self) -> Status:
        """How the run stands: "running", "dead" (killed, no longer in progress), "finished", "failed" or "stopped"."""
        return status_of(self.directory)

    @property
    def metrics(self) -> Any:
        """All that was logged, of metrics.csv, a row an iteration.

        A pandas `DataFrame` where pandas is installed, NaN where an iteration has no value; else a list of
        dictionaries of numbers, each with the values that its iteration has.

        Raises:
            UserError: nothing was logged.
        """
        path = self.directory / "metrics.csv"
        if not path.is_file():
            raise UserError(f"{self.directory} has no metrics.csv: nothing was logged there")
        with user_errors():
            _, rows = read_table(path)
            if find_spec("pandas") is not None:
                return import_module("pandas").read_csv(path)
            return [{name: number(text) for name, text in row.items() if text} for row in rows]

    @property
    def config(self) -> DictConfig:
        """The configuration of the run, every interpolation filled in."""
        return read_config(self.directory)

    @cached_property
    def gan(self) -> GAN:
        """The GAN of the last checkpoint, on the CPU in evaluation mode; see `load`."""
        return load(self.directory)


def list_runs(path: str | os.PathLike[str] = "outputs") -> list[Run]:
    """Return the runs below a folder, jobs of sweeps included, the newest first.

    Args:
        path: the folder; a run or a sweep as well.

    Examples:
        >>> [(run.directory.name, run.status) for run in gl.list_runs()]
        [('ring', 'finished')]
    """
    found = [directory for directory in find_runs(Path(path).expanduser()) if (directory / "config.yaml").is_file()]
    return [Run(directory) for directory in sorted(found, key=began, reverse=True)]


def number(text: str) -> float:
    """Return the number in a cell of metrics.csv, whole ones as int."""
    return int(text) if text.lstrip("-").isdigit() else float(text)


def load(path: str | os.PathLike[str], which: Which = "last", device: str = "cpu", trust: Collection[str] = ()) -> GAN:
    """Load the GAN of a run, in evaluation mode; no code that comes with the checkpoint is run.

    Args:
        path: a run directory or a checkpoint file.
        which: the checkpoint of a run directory, "last" or "best".
        device: where to, such as "cpu" or "cuda:1"; "auto" is the first GPU where there is one.
        trust: code that the checkpoint may name although no file of conf/ does, as dotted names.

    Returns:
        The GAN; ``gan.hparams`` holds the settings of its run, ``gan.sample(64)`` makes samples.

    Raises:
        UserError: there is no such checkpoint, it was not written by training, or it names code that is not trusted.

    Examples:
        >>> gan = gl.load("outputs/runs/digits", which="best")
        >>> gan.sample(64, labels=[3, 5], seed=1).shape
        torch.Size([64, 1, 28, 28])
    """
    if which not in ("last", "best"):
        raise UserError(f"which must be last or best, not {which}")
    return checkpoints.load(checkpoint_of(os.fspath(path), which), device_named(device), trust).gan


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """Compose the configuration of a run, as ``train.py`` does.

    It works from any folder, any number of times, whether or not Hydra is initialised, and leaves Hydra as it was.

    Args:
        overrides: as on the command line, such as ``["experiment=ring", "optimizer.lr=1e-4"]``.

    Returns:
        The configuration; its parts can be built by `hydra.utils.instantiate`. Paths in it lie in the directory that a
        run started now would have.

    Raises:
        UserError: an override does not fit.

    Examples:
        >>> config = gl.compose(["experiment=ring", "seed=1"])
        >>> config.seed, config.data.batch_size
        (1, 100)
        >>> generator = hydra.utils.instantiate(config.model.generator)
    """
    with hydra_job(checked_overrides(overrides)) as config:
        return without_hydra(config)


def train(
    overrides: Sequence[str] = (), directory: str | os.PathLike[str] | None = None, *, progress: bool = False
) -> Run:
    """Train a GAN, or resume its training with ``ckpt_path=<run>`` or ``resume=auto``, as ``train.py`` does.

    The same checks are made and the same files written, and the random generators of Python, NumPy and PyTorch are
    seeded likewise. Ctrl+C, or interrupting the kernel of a notebook, saves the last state first.

    Args:
        overrides: as on the command line, such as ``["experiment=ring", "seed=1"]``.
        directory: of the run. None: a new one in ``outputs/runs``, or that of the run that is resumed.
        progress: show progress in the terminal.

    Returns:
        The finished run.

    Raises:
        UserError: an override does not fit, values do not go together, or several devices are named.
        WorkError: training could not be brought to its end, as on a full disk or when it diverged.
        KeyboardInterrupt: it was interrupted by hand.

    Examples:
        >>> run = gl.train(["experiment=ring", "seed=1", "max_iterations=500"])
        >>> run.result["status"], run.result["iterations"]
        ('finished', 500)
    """
    arguments = checked_overrides(overrides)
    if directory is not None:
        arguments.append(f"hydra.run.dir={quoted(os.fspath(directory))}")
    arguments = expand_resume_overrides(arguments)
    refuse_arguments(arguments)
    with hydra_job(arguments) as config:
        refuse_escapes(Path(config.hydra.runtime.output_dir))
        inherit(config)
        inherit_networks(config)
        validate(config, "train")
        typed_overrides, folder = typed(config.hydra.overrides.task), Path(config.hydra.runtime.output_dir)
        job, log_format = without_hydra(config), config.hydra.job_logging.formatters.timed.format
    refuse_several_devices(job.trainer)
    refuse_large_networks(job)
    if not progress and "progress" in job.callbacks:
        job.callbacks.progress = None
    try:
        require_writable(folder)
        with warnings.catch_warnings(), log_file(folder / "train.log", log_format):
            training.train(job, folder, typed_overrides)
    except UserError as error:
        if error.exit_code == 2:
            discard_refused(folder)
        raise
    except Interrupted as interrupted:
        if interrupted.code == STOPPED_BY_HAND:
            raise KeyboardInterrupt(interrupted.report) from None
        raise
    return Run(folder)


def checked_overrides(overrides: Sequence[str]) -> list[str]:
    """Return `overrides` as a list; a UserError if they are one string, or of several jobs."""
    if isinstance(overrides, str):
        raise UserError(f"overrides are a list of strings: ['{overrides}']")
    overrides = with_default_variant(expand_data_path(overrides))
    try:
        several = any(override.is_sweep_override() for override in OverridesParser.create().parse_overrides(overrides))
    except HydraException:
        several = False  # composing says what is wrong with them
    if several or is_sweep(overrides):
        raise UserError("from Python each call is one run: loop over the values, or start a sweep with train.py -m")
    return overrides


def refuse_several_devices(trainer: DictConfig) -> None:
    """Raise a UserError for a run on several devices: each needs a process, which the command line starts."""
    if gpu_or_one(trainer.devices, uses_gpu(trainer.accelerator)) * trainer.num_nodes > 1:
        raise UserError(
            f"trainer.devices={trainer.devices} needs a process for each device, which only train.py starts: run it "
            "with the same overrides, or choose trainer.devices=1"
        )
