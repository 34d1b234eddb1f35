"""The command line as a user runs it: another process, an empty folder, no account."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from helpers.fork_server import ForkServer

ROOT = Path(__file__).parents[2]
Command = Callable[..., subprocess.CompletedProcess[str]]

TINY = (
    "experiment=gaussian",
    "schedule=constant",
    "max_iterations=6",
    "log_every=1",
    "evaluate_every=3",
    "samples_every=3",
    "checkpoint_every=3",
    "metrics.num_fakes=200",
    "callbacks.density.count=100",
    "data.reference_size=200",
    "trainer.accelerator=cpu",
)
"""A game of a few seconds."""


COMMANDS = ("gan_lightning.cli.train", "helpers.warm_grammar")
"""What forks without torch have imported."""
MODULES = (
    *COMMANDS,
    *("gan_lightning.cli.evaluate", "gan_lightning.cli.sample", "gan_lightning.runs.training"),
    *("gan_lightning.runs.checkpoints", "gan_lightning.callbacks.density"),
)
"""What the forks of `run_script` have imported, with all that these import."""


def run_script(folder: Path, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the clone in `folder`, to the end, in a fork that has imported torch and the package."""
    return _fork(server(*MODULES), folder, script, *arguments, **environment)


def run_without_torch(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the clone in `folder`, to the end, in a fork where importing torch fails."""
    return _fork(server(*COMMANDS, torch=False), folder, script, *arguments)


def _fork(
    server: ForkServer, folder: Path, script: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return server.run(folder, [str(ROOT / script), *arguments], {**environment_in(folder), **environment}, seconds=300)


@cache
def server(*modules: str, torch: bool = True) -> ForkServer:
    """The process of this test session whose forks have imported `modules`, or one without torch."""
    folder = Path(tempfile.mkdtemp(prefix="gan_lightning-"))
    environment = environment_in(folder)
    if not torch:
        (folder / "torch.py").write_text("raise RuntimeError('torch was imported')\n")
        environment["PYTHONPATH"] = str(folder)
    return ForkServer(*modules, environment=environment)


def run_anew(folder: Path, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the clone in `folder`, to the end, in a process that has imported nothing."""
    return subprocess.run(
        [sys.executable, str(ROOT / script), *arguments],
        cwd=folder,
        env={**environment_in(folder), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def start_script(folder: Path, script: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a script of the clone in `folder`, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / script), *arguments],
        cwd=folder,
        env=environment_in(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Where tests run in the background, Ctrl+C is ignored, and what they start would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )


def environment_in(folder: Path) -> dict[str, str]:
    """The environment without an account, whose home directory is `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    return {**kept, "HOME": str(folder), "OMP_NUM_THREADS": "1"}
