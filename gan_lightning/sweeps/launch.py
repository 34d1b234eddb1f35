"""Jobs of a sweep in progress: started by Hydra's launcher, with a line on each that ends and on the time left."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from gan_lightning.runs.status import read_result
from gan_lightning.sweeps.jobs import Job
from gan_lightning.utils.conf import quoted
from gan_lightning.utils.errors import write_line

LOOK_EVERY_S = 1.0


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Args:
        job: that ended.
        result: the content of its ``result.json``; empty where it wrote none.
        error: what went wrong; None where nothing did.
    """

    job: Job
    result: dict[str, Any]
    error: str | None = None

    @property
    def value(self) -> float | None:
        """The monitored metric at its best; None where it was not measured."""
        best: float | None = self.result.get("best", {}).get(self.result.get("monitor"))
        return best

    def sentence(self) -> str:
        """Return how the job ended, in a few words."""
        if self.error is not None:
            return f"failed: {self.error.splitlines()[0] if self.error else 'see its train.log'}"
        words = str(self.result.get("stopped") or self.result.get("status", "ended"))
        return words if self.value is None else f"{words}, best {self.result['monitor']} {self.value:.4g}"


@dataclass
class Progress:
    """Lines on standard error about the jobs of a sweep, from any thread.

    Args:
        total: jobs of the sweep.
        done: jobs that had ended before.
    """

    total: int
    done: int = 0
    started: float = field(default_factory=time.monotonic)
    ended: dict[str, None] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, job: Job) -> None:
        """Say that a job starts."""
        self.say(f"[{self.done + len(self.ended) + 1}/{self.total}] {job.name} starts")

    def end(self, outcome: Outcome) -> None:
        """Say how a job ended and how long the others will take; once a job."""
        with self.lock:
            if outcome.job.name in self.ended:
                return
            self.ended[outcome.job.name] = None
            number, now = self.done + len(self.ended), time.monotonic()
        left = (now - self.started) / len(self.ended) * (self.total - number)
        time_left = f"; about {duration(left)} left" if number < self.total else ""
        self.say(f"[{number}/{self.total}] {outcome.job.name} {outcome.sentence()}{time_left}")

    def say(self, line: str) -> None:
        """Write a line."""
        write_line(line, sys.stderr)


def duration(seconds: float) -> str:
    """Return a duration to about two digits, such as ``40 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def run_jobs(
    launcher: Launcher, jobs: Sequence[Job], directory: Path, progress: Progress, first: int = 0
) -> list[Outcome]:
    """Run `jobs` in `directory` and return how each ended; the basic launcher runs them here, one after another.

    Args:
        launcher: of Hydra.
        jobs: to run.
        directory: of the sweep.
        progress: is told of each job that ends.
        first: number of the first job.
    """
    if isinstance(launcher, BasicLauncher):
        outcomes = []
        for number, job in enumerate(jobs, start=first):
            progress.start(job)
            outcomes += run_together(launcher, [job], directory, number)
            progress.end(outcomes[-1])
        return outcomes
    with watched(jobs, directory, progress):
        outcomes = run_together(launcher, jobs, directory, first)
    for outcome in outcomes:
        progress.end(outcome)
    return outcomes


def run_together(launcher: Launcher, jobs: Sequence[Job], directory: Path, first: int) -> list[Outcome]:
    """Give `jobs` to the launcher at once and return how each ended.

    A launcher that fails itself, as when the system kills a process of it, has failed in the jobs without a result.
    """
    since = time.time()
    lines = [[*job.overrides, *placed(job, directory)] for job in jobs]
    try:
        returns = launcher.launch(lines, initial_job_idx=first)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        results = [fresh_result(directory / job.name, since) for job in jobs]
        return [
            Outcome(job, result, None if result.get("status") == "finished" else result.get("error") or reason)
            for job, result in zip(jobs, results, strict=True)
        ]
    return [
        Outcome(job, fresh_result(directory / job.name, since), failure(ended))
        for job, ended in zip(jobs, returns, strict=True)
    ]


def placed(job: Job, directory: Path) -> list[str]:
    """Return the overrides that put a job's directory into the sweep's."""
    return [f"hydra.sweep.dir={quoted(str(directory))}", f"hydra.sweep.subdir={quoted(job.name)}"]


def failure(ended: JobReturn) -> str | None:
    """Return what a job raised; None where it raised nothing."""
    if ended.status == JobStatus.COMPLETED:
        return None
    return str(ended._return_value)  # its property would raise it


def fresh_result(directory: Path, since: float) -> dict[str, Any]:
    """Return `read_result` of what was written after the time `since`, or belongs to a run that was over before."""
    result = read_result(directory)
    if not result:
        return {}
    written = (directory / "result.json").stat().st_mtime
    return result if written >= since - 1 or result.get("status") == "finished" else {}


@contextmanager
def watched(jobs: Sequence[Job], directory: Path, progress: Progress) -> Iterator[None]:
    """Within, `progress` is told of each of `jobs` whose result is written, wherever it runs."""
    since, over = time.time(), threading.Event()

    def look() -> None:
        while not over.wait(LOOK_EVERY_S):
            for job in jobs:
                result = fresh_result(directory / job.name, since)
                status = result.get("status")
                if status in ("finished", "failed", "pruned"):
                    progress.end(Outcome(job, result, result.get("error")))

    thread = threading.Thread(target=look, daemon=True, name="sweep")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
