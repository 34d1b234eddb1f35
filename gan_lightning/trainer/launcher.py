"""Starts the further ranks of a job on this machine, watches and ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from lightning import Trainer
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

from gan_lightning.trainer.ranks import LAUNCHED_BY, started_as_rank_zero
from gan_lightning.utils.conf import PACKAGE, quoted, typed
from gan_lightning.utils.files import write_json

LOOK_EVERY_S = 0.5
"""Seconds between two looks at the ranks."""

GRACE_S = 10.0
"""Seconds that the first rank has to notice by itself that another is gone."""

LAST_WORDS_S = 30.0
"""Seconds that the other ranks have to end once the job is done."""


@dataclass(frozen=True)
class RankCommand:
    """The command that starts one more rank of a job on this machine.

    Attributes:
        arguments: the command line.
        environment: variables for it, beside those of this process.
        on_stop: called with the reason, from another thread, just before this process is ended because a rank has died
            and nothing else noticed.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    on_stop: Callable[[str], None] = field(default=lambda reason: None, compare=False)


class RankDiedError(RuntimeError):
    """Another rank has died, so that training cannot continue."""


class CommandLauncher(_SubprocessScriptLauncher):
    """Starts further ranks with a given command instead of `sys.argv`, which in a sweep would start the whole sweep.

    No rank outlives the job, and none that dies leaves the others waiting: its end breaks their connection or, where
    they do not notice within `GRACE_S`, ends this process with exit code 1. Lightning's own watch kills this process
    at once, before anything is written down.

    Ranks share the processor: each computes with its part of the cores that this process may use, unless
    ``OMP_NUM_THREADS`` says otherwise.

    Args:
        command: starts one rank.
        args: cluster environment, number of ranks on this machine, number of machines.
    """

    def __init__(self, command: RankCommand, *args: Any) -> None:
        super().__init__(*args)
        self.command = command
        self.ending = False

    def launch(self, function: Callable[..., Any], *args: Any, trainer: Trainer | None = None, **kwargs: Any) -> Any:
        """Call `function` once all ranks of this machine are started; ranks that others started are left alone.

        Raises a `RankDiedError` if another rank's end has broken the connection to it.
        """
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if self.cluster_environment.creates_processes_externally:
            return function(*args, **kwargs)
        over = threading.Event()
        try:
            self._call_children_scripts()
            threading.Thread(target=self._watch, args=(over,), daemon=True, name="ranks").start()
            result = function(*args, **kwargs)
        except BaseException as error:
            reason = self._death(wait_s=2) if is_lost_connection(error) and not self.ending else None
            over.set()
            self._end(wait_s=0)
            if reason is not None:
                raise RankDiedError(reason) from error
            raise
        over.set()
        self._end(wait_s=LAST_WORDS_S)
        return result

    def kill(self, signum: int | signal.Signals) -> None:
        """Send `signum` to the ranks; that they end now is no error."""
        self.ending = True
        super().kill(signum)

    def _call_children_scripts(self) -> None:
        self._check_can_spawn_children()
        self.ending = False
        environment = self.cluster_environment
        os.environ["MASTER_ADDR"] = environment.main_address
        os.environ["MASTER_PORT"] = str(environment.main_port)
        os.environ["NODE_RANK"] = str(environment.node_rank())
        os.environ["LOCAL_RANK"] = str(environment.local_rank())
        os.environ["WORLD_SIZE"] = str(self.num_processes * self.num_nodes)
        threads = str(max(available_cores() // self.num_processes, 1))
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(int(threads))
        shared = {"OMP_NUM_THREADS": threads, **os.environ, **self.command.environment}
        for local_rank in range(1, self.num_processes):
            own = {**shared, "LOCAL_RANK": str(local_rank)}
            self.procs.append(subprocess.Popen(self.command.arguments, env=own))

    def _watch(self, over: threading.Event) -> None:
        """End this process if a rank dies and the main thread waits for it for ever, as on a GPU."""
        while not over.wait(LOOK_EVERY_S):
            if self.ending or self._death() is None:
                continue
            if not over.wait(GRACE_S) and not self.ending:
                reason = self._death()
                assert reason is not None
                sys.stderr.write(reason + "\n")
                self.command.on_stop(reason)
                self._end(wait_s=0)
                sys.stderr.flush()
                os._exit(1)
            return

    def _death(self, wait_s: float = 0) -> str | None:
        """Return one line on the first rank that ended with an error; None if none has within `wait_s`."""
        until = time.monotonic() + wait_s
        while True:
            for local_rank, process in enumerate(self.procs, start=1):
                if process.poll():  # neither running nor 0
                    rank = self.cluster_environment.node_rank() * self.num_processes + local_rank
                    return f"rank {rank} ended with code {process.returncode}: the run is stopped"
            if time.monotonic() >= until:
                return None
            time.sleep(0.05)

    def _end(self, wait_s: float) -> None:
        """Give the ranks `wait_s` seconds to end by themselves, then kill and forget them."""
        until = time.monotonic() + wait_s
        for process in self.procs:
            try:
                process.wait(max(until - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                self.ending = True
                process.kill()
                process.wait()
        self.procs = []


def is_lost_connection(error: BaseException) -> bool:
    """Return whether `error` is what a process sees of another one's end, and not a mistake that all ranks share."""
    if isinstance(error, (dist.DistError, ConnectionError)):
        return True
    return isinstance(error, RuntimeError) and any(
        word in str(error).lower() for word in ("gloo", "nccl", "connection closed", "connection reset", "broken pipe")
    )


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def job_command() -> RankCommand:
    """Return the command that starts one more rank of this very job.

    It carries this job's overrides and its run directory, so that a rank of a sweep's job does not start the sweep
    again, and leaves configuration and log to rank 0. It is the same however this process was started: by a script, as
    a module, or as a worker of a sweep's launcher.
    """
    hydra = HydraConfig.get()
    directory = Path(hydra.runtime.output_dir)
    return RankCommand(
        arguments=[sys.executable, "-m", "gan_lightning.cli.train", *searched_in(hydra), *overrides(hydra, directory)],
        # Modules are found where this process finds them, and nowhere else: a clone need not be installed.
        environment={
            "PYTHONPATH": os.pathsep.join([*(path or os.getcwd() for path in sys.path), str(PACKAGE.parent)]),
            "PYTHONSAFEPATH": "1",
            LAUNCHED_BY: str(os.getpid()),
        },
        on_stop=partial(write_failure, directory),
    )


def searched_in(hydra: HydraConf) -> list[str]:
    """Return the options that let a further rank find configurations of the user's own."""
    folders = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    paths = [path for path in typed(hydra.overrides.hydra) if path.lstrip("+").startswith("hydra.searchpath=")]
    return [*(f"--config-dir={folder}" for folder in folders), *paths]


def overrides(hydra: HydraConf, directory: Path) -> list[str]:
    """Return the overrides of a further rank: this job's as they were typed, and its directory."""
    rank = ["hydra.mode=RUN", f"hydra.run.dir={quoted(str(directory))}", "hydra/job_logging=none"]
    return [*typed(hydra.overrides.task), *rank]


def write_failure(directory: Path, reason: str) -> None:
    """Write to ``result.json`` that the run was stopped; a full disk does not hide the reason, which is logged."""
    if started_as_rank_zero():
        with suppress(OSError):
            write_json(directory / "result.json", {"status": "failed", "error": reason})
