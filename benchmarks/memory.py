"""Memory and speed over a long run of the 1-D toy, everything on as users run it.

    python -m benchmarks.memory

``python train.py experiment=gaussian logger=csv`` for 10 000 iterations with its progress bar, logged losses,
evaluations, checkpoints and pictures, in windows of 1 000 iterations: resident memory at the end of each, and
iterations a second within it. The first window is left out: libraries are loaded and pools filled there.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from lightning import Callback, LightningModule, Trainer
from rich.table import Table

from benchmarks.common import SHOWN, build, callbacks_of, composed, positive, prepare, present
from gan_lightning.callbacks.periodic import as_gan

MIB = 2**20
FLAT_MIB = 8.0
"""What may come on top after the first window: pictures of new sizes, frames of the animation, pools that fill late."""


class Window(NamedTuple):
    """Some iterations of a run: the last one's number, `mib` of resident memory then, and the speed among them."""

    iteration: int
    mib: float
    iterations_per_second: float


class Growth(NamedTuple):
    """Memory after the first window: the slope of a fitted line, MiB per 1 000 iterations; the most above it, MiB."""

    slope: float
    largest: float


class Windows(Callback):
    """Notes memory and speed every `size` iterations."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.seen: list[Window] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._then = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        iteration = as_gan(pl_module).iterations
        if iteration % self.size == 0:
            now = time.perf_counter()
            self.seen.append(Window(iteration, resident_mib(), self.size / (now - self._then)))
            self._then = now


def resident_mib() -> float:
    """Return this process's memory that is in RAM, in MiB, as Linux gives it.

    Raises:
        OSError: on another system.
    """
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def measure(iterations: int, window: int, overrides: Sequence[str] = ()) -> list[Window]:
    """Train the toy for `iterations` with everything on, and note each `window` of them."""
    windows = Windows(window)
    settings = ["experiment=gaussian", "trainer.accelerator=cpu", *SHOWN, f"max_iterations={iterations}", *overrides]
    with TemporaryDirectory() as folder:
        datamodule, gan, trainer = build(composed(settings, Path(folder)), Path(folder))
        callbacks_of(trainer).append(windows)
        trainer.fit(gan, datamodule)
    return windows.seen


def growth(windows: Sequence[Window]) -> Growth:
    """Return how memory grew after the first of at least three windows.

    Raises:
        ValueError: with fewer.
    """
    if len(windows) < 3:
        raise ValueError(f"growth needs three windows or more, not {len(windows)}: choose more iterations")
    iterations, mib = (np.array(column, dtype=float) for column in zip(*(w[:2] for w in windows), strict=True))
    slope = np.polyfit(iterations[1:], mib[1:], deg=1)[0] * 1000
    return Growth(float(slope), float((mib[1:] - mib[0]).max()))


def table_of(windows: Sequence[Window]) -> Table:
    """Return the measurements as a table."""
    table = Table("iterations", "resident memory, MiB", "iterations/s", title="1-D Gaussian, everything on")
    for window in windows:
        table.add_row(str(window.iteration), f"{window.mib:.1f}", f"{window.iterations_per_second:.0f}")
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=positive, default=10_000, help="of the run (default: 10000)")
    parser.add_argument("--window", type=positive, default=1000, help="iterations of a window (default: 1000)")
    given = parser.parse_args()
    if given.iterations < 3 * given.window:
        parser.error(f"--iterations must be at least three windows, {3 * given.window}, not {given.iterations}")
    prepare()
    windows = measure(given.iterations, given.window)
    slope, largest = growth(windows)
    flat = "flat" if largest < FLAT_MIB else "not flat"
    result = f"After the first {given.window} iterations memory is {flat}: at most {largest:+.1f} MiB,"
    present(table_of(windows), f"{result} {slope:+.2f} MiB per 1 000 iterations.")


if __name__ == "__main__":
    main()
