"""The variables through which the ranks of a job know of each other, however they were started. Needs no torch."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from gan_lightning.utils.conf import PACKAGE
from gan_lightning.utils.errors import UserError

RANK_VARIABLES = (
    "LOCAL_RANK",
    "NODE_RANK",
    "WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "PL_GLOBAL_SEED",
    "OMP_NUM_THREADS",
)

LAUNCHED_BY = "GAN_LIGHTNING_LAUNCHED_BY"
"""The process id of the rank that has started this one."""


@contextmanager
def kept_environment() -> Iterator[None]:
    """Within, the launcher of ranks may set its variables; the next job of a sweep finds the environment as it was."""
    import torch  # here, because --help and wrong options answer before torch is imported
    import torch.distributed as dist

    before, threads = {name: os.environ.get(name) for name in RANK_VARIABLES}, torch.get_num_threads()
    try:
        yield
    finally:
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()  # else the next job would talk to ranks that are gone
        torch.set_num_threads(threads)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def started_as_rank_zero() -> bool:
    """Return whether this process is, or will launch the others as, rank 0; for the time before there is a trainer."""
    names = ("RANK", "LOCAL_RANK", "NODE_RANK", *(["SLURM_PROCID"] if in_srun() else []))
    return all(int(os.environ.get(name, 0)) == 0 for name in names)


def in_srun() -> bool:
    """Return whether srun started this process, or the rank that did. Interactive shells only look like it."""
    shell = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return "SLURM_NTASKS" in os.environ and "SLURM_PROCID" in os.environ and not shell


class ExternalLaunch(NamedTuple):
    """The processes that torchrun or srun started.

    Attributes:
        by: which of them.
        processes: how many in all.
        on_node: how many on each machine.
    """

    by: str
    processes: int
    on_node: int


def started_from_outside() -> ExternalLaunch | None:
    """Return how this process was started as one of several; None if the launcher here starts the ranks."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        processes = int(os.environ["WORLD_SIZE"])
        return ExternalLaunch("torchrun", processes, int(os.environ.get("LOCAL_WORLD_SIZE", processes)))
    if in_srun() and int(os.environ["SLURM_NTASKS"]) > 1:
        tasks = int(os.environ["SLURM_NTASKS"])
        nodes = os.environ.get("SLURM_STEP_NUM_NODES") or os.environ.get("SLURM_NNODES") or "1"
        return ExternalLaunch("srun", tasks, max(tasks // int(nodes), 1))
    return None


def slurm_env(processes: int) -> None:
    """Set the variables that Lightning reads from those of srun, for a job of `processes` ranks.

    With a task for each rank all are there; with one task a machine the launcher starts the others. Either way
    Lightning's own reading of SLURM stays out, which would requeue the job and hold on to the first of these two ways.
    """
    if "LOCAL_RANK" in os.environ or not in_srun() or int(os.environ["SLURM_NTASKS"]) == 1:
        return
    os.environ["NODE_RANK"] = os.environ.get("SLURM_NODEID", "0")
    os.environ.setdefault("MASTER_ADDR", first_node())
    # The same on every node, and not the same for two jobs.
    os.environ.setdefault("MASTER_PORT", str(15000 + int(os.environ.get("SLURM_JOB_ID", "0")) % 10000))
    if int(os.environ["SLURM_NTASKS"]) == processes:
        os.environ["LOCAL_RANK"] = os.environ.get("SLURM_LOCALID", "0")


def first_node() -> str:
    """Return the first machine of ``SLURM_NODELIST``, which may read ``node[03-07,12],other``."""
    names = ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST")
    nodes = next((os.environ[name] for name in names if name in os.environ), "127.0.0.1")
    return re.sub(r"\[([^],-]+)[^]]*\]", r"\1", nodes).split(",")[0].split(" ")[0]


def prepare_rank(arguments: Sequence[str]) -> list[str]:
    """Make ready for being one of several ranks; to be called first of all, with the command line.

    Returns:
        the command line. A further rank that torchrun or srun started has no directory and no log of its own: what it
        would write there the first rank writes.

    Raises:
        UserError: for a sweep in which each process would play all jobs.
    """
    exit_with_parent()
    export_pythonpath()
    outside = started_from_outside()
    if outside is not None and outside.processes > 1 and is_sweep(arguments):
        raise UserError(
            f"{outside.by} started {outside.processes} processes, and each would run the whole sweep: start the sweep "
            f"without {outside.by}, each job starts the ranks of its trainer.devices"
        )
    if started_as_rank_zero():
        return list(arguments)
    given = {argument.lstrip("+").split("=")[0] for argument in arguments}
    quiet = [] if "hydra/job_logging" in given else ["hydra/job_logging=none"]
    return [*arguments, *quiet, *([] if "hydra.run.dir" in given else [f"hydra.run.dir={temporary_run_dir()}"])]


def temporary_run_dir() -> str:
    """Return an empty folder that is gone when this process has ended."""
    folder = tempfile.mkdtemp(prefix="gan_lightning_rank_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def is_sweep(arguments: Sequence[str]) -> bool:
    """Return whether a command line is of several jobs."""
    sweeping = ("-m", "--multirun", "hydra.mode=MULTIRUN")
    choosing = ("launcher=", "hparams_search=")  # their files switch to a sweep
    return any(
        argument in sweeping or (argument.startswith(choosing) and not argument.endswith("=null"))
        for argument in arguments
    )


def export_pythonpath() -> None:
    """Let processes that are started from here import this package: a clone need not be installed."""
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if str(PACKAGE.parent) not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([*paths, str(PACKAGE.parent)])


def exit_with_parent() -> None:
    """End this process when the one that has started it as a rank is gone.

    Ctrl+C and a scheduler's warnings, which reach all processes of a job, are left to the first rank.
    """
    launcher = os.environ.pop(LAUNCHED_BY, None)
    if launcher is not None:
        for name in ("SIGINT", "SIGUSR1", "SIGUSR2"):
            if hasattr(signal, name):  # Windows has the first alone
                signal.signal(getattr(signal, name), signal.SIG_IGN)
        threading.Thread(target=end_without, args=(int(launcher),), daemon=True, name="launcher").start()


def end_without(parent: int) -> None:
    """Wait until `parent` is gone, then end this process."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def device_count(devices: Any) -> int:
    """Return the number of devices on a node, as far as can be known without looking at the hardware."""
    if isinstance(devices, str) or devices == -1:
        return 1
    return devices if isinstance(devices, int) else len(devices)
