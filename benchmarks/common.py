"""What the benchmarks share: the machine in words, the platform as train.py builds it, and timing in turns."""

from __future__ import annotations

import argparse
import csv
import gc
import math
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from omegaconf import DictConfig, open_dict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

import gan_lightning as gl
from gan_lightning.callbacks.periodic import as_gan
from gan_lightning.runs.training import ask_for_gpus_once, build, silence_warnings
from gan_lightning.utils.conf import conf_dir, plain, register_resolvers

SHOWN = ("logger=csv", "+callbacks.progress.console._target_=benchmarks.common.unseen_terminal")
"""Progress drawn and losses logged, as users have them. Nothing is uploaded."""


def hardware() -> str:
    """Return the processor, its cores and what they are good at; PyTorch and its threads; the GPU if any."""
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    units = {"amx_bf16": "AMX bfloat16", "avx512_bf16": "AVX-512 bfloat16"}
    matrix = " and ".join(words for name, words in units.items() if known.get(name)) or "no bfloat16 units"
    threads = torch.get_num_threads()
    lines = [
        f"{processor()}, {cores()} core(s), {matrix}",
        f"PyTorch {torch.__version__}, {threads} thread(s), Python {platform.python_version()}",
    ]
    if torch.cuda.is_available():
        lines.append(f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    return "\n".join(lines)


def processor() -> str:
    """Return the processor's model, as Linux gives it; elsewhere what Python knows."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def composed(overrides: Sequence[str], directory: Path) -> DictConfig:
    """Compose the configuration of ``python train.py <overrides>``, for a run in `directory`."""
    register_resolvers()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("train", overrides=list(overrides), return_hydra_config=True)
    with open_dict(config.hydra):
        config.hydra.runtime.output_dir = str(directory)
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    return config


def unseen_terminal() -> Console:
    """Return a hidden terminal: a progress bar is drawn there at its full cost."""
    return Console(file=open(os.devnull, "w", encoding="utf-8"), force_terminal=True, force_interactive=True, width=120)  # noqa: SIM115


class Stopwatch:
    """Seconds between `start` and `stop`, and seconds of this process's threads on CPUs. Both wait for a GPU's work."""

    seconds = 0.0
    cpu_seconds = 0.0

    def start(self) -> None:
        """Begin."""
        wait_for_gpu()
        self._then, self._cpu_then = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        """End; `seconds` have passed."""
        wait_for_gpu()
        self.seconds = time.perf_counter() - self._then
        self.cpu_seconds = time.process_time() - self._cpu_then


def wait_for_gpu() -> None:
    """Return when a GPU in use has no work left."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()


class Clock(Callback):
    """Times training from the iteration `warm_up` to the last of the budget."""

    def __init__(self, warm_up: int, stopwatch: Stopwatch) -> None:
        self.warm_up, self.stopwatch = warm_up, stopwatch
        self.images = 0

    def next_iteration(self, iterations: int) -> float:
        """Return the end of the warm-up; training itself ends at its budget."""
        return self.warm_up if iterations < self.warm_up else math.inf

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        gan = as_gan(pl_module)
        if gan.iterations == self.warm_up:
            self.images = gan.images
            self.stopwatch.start()
        elif gan.iterations == gan.max_iterations:
            self.stopwatch.stop()
            self.images = gan.images - self.images


class Speed(NamedTuple):
    """What is done in a second: `iterations` (one update of each player) and real `images` seen."""

    iterations: float
    images: float


def platform_speed(
    overrides: Sequence[str], warm_up: int, iterations: int, stopwatch: Stopwatch | None = None
) -> Speed:
    """Return the speed of ``python train.py <overrides>`` over `iterations` after `warm_up` others, in this process."""
    stopwatch = stopwatch or Stopwatch()
    clock = Clock(warm_up, stopwatch)
    with TemporaryDirectory() as folder:
        config = composed([*overrides, f"max_iterations={warm_up + iterations}"], Path(folder))
        datamodule, gan, trainer = build(plain(config), Path(folder))
        callbacks_of(trainer).append(clock)
        trainer.fit(gan, datamodule)
    return Speed(iterations / stopwatch.seconds, clock.images / stopwatch.seconds)


def loop_speed(step: Callable[[], int], warm_up: int, iterations: int, stopwatch: Stopwatch | None = None) -> Speed:
    """Return the speed of a hand-written loop: `step` makes one iteration and returns its number of real images."""
    stopwatch = stopwatch or Stopwatch()
    for _ in range(warm_up):
        step()
    stopwatch.start()
    images = sum(step() for _ in range(iterations))
    stopwatch.stop()
    return Speed(iterations / stopwatch.seconds, images / stopwatch.seconds)


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """Return the trainer's own list of callbacks, which its type does not declare."""
    callbacks: list[Callback] = getattr(trainer, "callbacks")  # noqa: B009
    return callbacks


def in_turns(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure every contender once a round, back and forth, so that all share the machine's moods."""
    order = list(contenders)
    measured: dict[str, list[float]] = {name: [] for name in order}
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    # Drawn between two measurements only: a display that refreshes itself would run beside them.
    with Progress(*columns, auto_refresh=False, transient=True) as bar:
        task = bar.add_task("", total=rounds * len(order))
        for number in range(rounds):
            for name in order if number % 2 == 0 else reversed(order):
                bar.update(task, description=f"round {number + 1} of {rounds}: {name}", refresh=True)
                gc.collect()
                measured[name].append(contenders[name]())
                bar.advance(task)
    return measured


def ratios(these: Sequence[float], those: Sequence[float]) -> list[float]:
    """Return one sequence divided by the other, round by round."""
    return [one / other for one, other in zip(these, those, strict=True)]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return median and range, ``1.02 (0.98 to 1.05)``; the value alone where there is one."""
    middle = f"{median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def present(table: Table, *remarks: str) -> None:
    """Print the hardware, the table and what is to be said of it."""
    console = Console()
    for line in hardware().splitlines():
        console.print(line, style="dim", highlight=False)
    console.print(table)
    for remark in remarks:
        console.print(remark, highlight=False)


def arguments_of(description: str | None, *, rounds: int, iterations: int, warm_up: int) -> argparse.ArgumentParser:
    """Return a parser of the arguments that all timings share, with these defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=positive, default=rounds, help=f"how often each is timed (default: {rounds})")
    parser.add_argument(
        "--iterations", type=positive, default=iterations, help=f"timed iterations of each (default: {iterations})"
    )
    parser.add_argument(
        "--warm-up", type=positive, default=warm_up, help=f"iterations before the clock starts (default: {warm_up})"
    )
    return parser


def report_arguments(
    description: str | None, *, seeds: int, quick: str, runs: str | None = None
) -> argparse.ArgumentParser:
    """Return a parser of the arguments that reports over seeds share.

    Args:
        description: of the report.
        seeds: the default.
        quick: the size of the quick form, in words.
        runs: where the runs lie by default, for a report that is of runs.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=positive, default=seeds, help=f"seeds of each setting (default: {seeds})")
    parser.add_argument("--first", type=int, default=10, help="the first of them (default: 10)")
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", help="where the report goes")
    if runs is not None:
        parser.add_argument("--no-train", action="store_true", help="only the report, from the runs that are there")
        parser.add_argument("--runs", type=Path, default=Path(runs), help="where the runs lie")
    return parser


def finished(directory: Path) -> bool:
    """Return whether a run lies there that has finished."""
    return (directory / "result.json").is_file() and gl.Run(directory).status == "finished"


def last_rows(directory: Path) -> list[dict[str, float]]:
    """Return the last numbers of each seed of a run of many seeds, as its ``metrics.csv`` has them."""
    with (directory / "metrics.csv").open(encoding="utf-8") as file:
        rows = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
    last = max(row["iteration"] for row in rows)
    return [row for row in rows if row["iteration"] == last]


def write_report(folder: Path, name: str, text: str, figure: Figure) -> None:
    """Write ``<name>.md`` and ``<name>.png``, and print the text and both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    figure.savefig(folder / f"{name}.png", dpi=100)
    print(text, folder / f"{name}.md", folder / f"{name}.png", sep="\n")


def positive(text: str) -> int:
    """Return a whole number of at least 1, as argparse's `type`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def prepare(threads: int | None = None) -> None:
    """Set this process up as train.py does; `threads` of PyTorch, None leaves them."""
    silence_warnings()
    ask_for_gpus_once()
    if threads is not None:
        torch.set_num_threads(threads)
