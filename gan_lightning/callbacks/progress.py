"""Progress on the screen: iterations, speed, losses and the monitored metric."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from rich import get_console
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column
from torch import Tensor

from gan_lightning.callbacks.periodic import as_gan
from gan_lightning.gan import GAN
from gan_lightning.utils.errors import printable

REFRESH_SECONDS = 0.25
WINDOW_SECONDS = 30.0
EARLY_SECONDS = 10.0
LINES = 10
"""Lines that a run prints where there is no terminal."""


class Progress(Callback):
    """A bar in a terminal; elsewhere, as in log files, ten plain lines over the whole run.

    Both say: iterations made and to make, time left, real images a second, each player's loss summed over its
    objectives, and the monitored metric. Losses are fetched from the device for display, at most four times a second.

    Args:
        monitor: the metric to show, such as ``val/fid``, once it is there; None shows none.
        console: where to show it; None for the terminal.
    """

    def __init__(self, monitor: str | None = None, console: Console | None = None) -> None:
        self.monitor = monitor
        self.console = console or get_console()
        self._bar: Bar | None = None
        self._due = math.inf

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        gan = as_gan(pl_module)
        self.speed = Speed(WINDOW_SECONDS)
        self.speed.observe(time.monotonic(), gan.iterations, gan.images)
        self._budget = gan.max_iterations
        self._tenths = LINES * gan.iterations // gan.max_iterations
        self._early = time.monotonic() + EARLY_SECONDS
        self._due = 0.0
        if self.console.is_interactive:
            # Refreshed by hand: a thread of its own would compete with short training steps.
            widest = Column(no_wrap=True, min_width=2 * len(str(gan.max_iterations)) + 1)
            count = TextColumn("{task.fields[count]}", markup=False, table_column=widest)
            columns = count, BarColumn(None), TextColumn("{task.fields[state]}", markup=False)
            self._bar = Bar(*columns, console=self.console, auto_refresh=False, expand=True)
            self._bar.add_task("", total=gan.max_iterations, completed=gan.iterations, count="", state="")
            self._bar.start()

    def next_iteration(self, iterations: int) -> float:
        """Return the iteration of the next line; infinity for a bar, which follows the clock alone."""
        if self._bar is not None or math.isinf(self._due):
            return math.inf
        return -(-(LINES * iterations // self._budget + 1) * self._budget // LINES)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.monotonic()
        if now >= self._due:
            self._due = now + REFRESH_SECONDS
            self.show(as_gan(pl_module), now)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._due < math.inf:
            self.show(as_gan(pl_module), time.monotonic())
        self.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.close()

    def show(self, gan: GAN, now: float) -> None:
        """Update the display, at `now` of the monotonic clock."""
        self.speed.observe(now, gan.iterations, gan.images)
        if self._bar is not None:
            count, state = self.describe(gan)
            self._bar.update(self._bar.task_ids[0], completed=gan.iterations, count=count, state=state)
            self._bar.refresh()
        elif self.line_is_due(gan, now):
            self.console.print("  ".join(self.describe(gan)), soft_wrap=True, highlight=False, markup=False)

    def line_is_due(self, gan: GAN, now: float) -> bool:
        """Return whether a further tenth is done; and once early on, to say how long the run will take."""
        tenths = LINES * gan.iterations // gan.max_iterations
        early = now >= self._early
        if tenths <= self._tenths and not early:
            return False
        self._tenths, self._early = tenths, math.inf
        return True

    def describe(self, gan: GAN) -> tuple[str, str]:
        """Return the count of iterations and the state as text."""
        iterations_per_second, images_per_second = self.speed.per_second()
        parts = []
        if iterations_per_second > 0:
            seconds = math.ceil((gan.max_iterations - gan.iterations) / iterations_per_second)
            parts += [f"{timedelta(seconds=seconds)} left", f"{images_per_second:.0f} images/s"]
        parts += [f"{player[0].upper()} {loss:.2f}" for player, loss in losses_by_player(gan.losses).items()]
        if self.monitor is not None and self.monitor in gan.metrics:
            parts.append(f"{printable(self.monitor.split('/')[-1])} {gan.metrics[self.monitor]:.4g}")
        return f"{gan.iterations}/{gan.max_iterations}", "  ".join(parts)

    def close(self) -> None:
        """Stop the live display."""
        self._due = math.inf
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class Speed:
    """Iterations and images a second over the last `window_seconds`, or over all the time when less has passed."""

    def __init__(self, window_seconds: float) -> None:
        self.window_seconds = window_seconds
        self._seen: deque[tuple[float, int, int]] = deque()

    def observe(self, now: float, iterations: int, images: int) -> None:
        """Record the counters at `now`, in seconds."""
        self._seen.append((now, iterations, images))
        while len(self._seen) > 2 and self._seen[1][0] <= now - self.window_seconds:
            self._seen.popleft()

    def per_second(self) -> tuple[float, float]:
        """Return iterations and images a second; 0 each before time has passed."""
        (then, *before), (now, *after) = self._seen[0], self._seen[-1]
        seconds = now - then
        if seconds <= 0:
            return 0.0, 0.0
        return (after[0] - before[0]) / seconds, (after[1] - before[1]) / seconds


def losses_by_player(losses: Mapping[str, Tensor]) -> dict[str, float]:
    """Return each player's ``player/objective`` terms added up, the discriminator first."""
    if not losses:
        return {}
    values = torch.stack([loss.float() for loss in losses.values()]).tolist()  # waits for the device once
    sums: dict[str, float] = {}
    for name, value in sorted(zip(losses, values, strict=True)):
        player = name.split("/")[0]
        sums[player] = sums.get(player, 0.0) + value
    return sums
