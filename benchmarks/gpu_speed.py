"""Training speed of a DCGAN on one CUDA GPU beside a loop tuned by hand, in one process, in turns.

    python -m benchmarks.gpu_speed
    python -m benchmarks.gpu_speed --sizes 64 --batches 512 --rounds 5

Digits of 32 and 64 pixels, batches of 64 and 512, bf16-mixed, each without torch.compile and with it on both sides. The
platform is as users run it, progress bar, logged losses and averaged generator included; evaluations, pictures and
checkpoints are left out, which the loop has not. The networks have the width of the published DCGAN. Beside images a
second, the table has how busy the GPU was (nvidia-smi) and its memory at the peak (PyTorch's allocator).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

import torch
from rich.table import Table

from benchmarks.common import (
    SHOWN,
    Stopwatch,
    arguments_of,
    composed,
    in_turns,
    loop_speed,
    platform_speed,
    positive,
    prepare,
    present,
    ratios,
    spread,
)
from benchmarks.dcgan_speed import overrides_of
from benchmarks.loops import TunedLoop

MIB = 2**20
PLATFORM, LOOP = "platform", "hand-tuned loop"


class Setting(NamedTuple):
    """What is trained: image size in pixels, images of an iteration, and whether the networks are compiled."""

    size: int
    batch: int
    compile: bool


class GpuStopwatch(Stopwatch):
    """Also how busy the GPU was, in percent (None where nvidia-smi cannot tell), and its peak memory in MiB."""

    busy: float | None = None
    peak_mib = 0.0

    def start(self) -> None:
        """Begin."""
        torch.cuda.reset_peak_memory_stats()
        # Another process looks: a thread of this one would compete with the training that it watches.
        query = ["nvidia-smi", f"--id={gpu_id()}", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        there = shutil.which("nvidia-smi") is not None
        self._watch = subprocess.Popen([*query, "-lms", "100"], stdout=subprocess.PIPE, text=True) if there else None
        super().start()

    def stop(self) -> None:
        """End; the attributes hold what was seen."""
        super().stop()
        self.peak_mib = torch.cuda.max_memory_allocated() / MIB
        if self._watch is not None:
            self._watch.terminate()
            self.busy = mean_of_numbers(self._watch.communicate()[0])


def gpu_id() -> str:
    """Return the current GPU's name for nvidia-smi, which does not know CUDA_VISIBLE_DEVICES."""
    return f"GPU-{torch.cuda.get_device_properties().uuid}"


def mean_of_numbers(text: str) -> float | None:
    """Return the mean of the lines that are numbers; None where none is (nvidia-smi says ``[N/A]``)."""
    numbers = [float(line) for line in text.splitlines() if line.strip().isdecimal()]
    return fmean(numbers) if numbers else None


class Measured(NamedTuple):
    """A setting's images a second of both sides, a number a round, and their last stopwatches."""

    speeds: dict[str, list[float]]
    watches: dict[str, Stopwatch]


def measure(
    setting: Setting, device: str, *, rounds: int, iterations: int, warm_up: int, width: int, more: Sequence[str] = ()
) -> Measured:
    """Measure one setting on `device`, ``cuda`` or ``cpu``; `more` are further overrides of both sides."""
    accelerator = {"cuda": "gpu", "cpu": "cpu"}[device]
    overrides = [*overrides_of(setting.size, setting.batch, width), *SHOWN, f"trainer.accelerator={accelerator}", *more]
    watches: dict[str, Stopwatch] = {}

    def watch(name: str) -> Stopwatch:
        # Each contender's networks are compiled afresh: beyond a few of one class PyTorch would give up compiling.
        torch.compiler.reset()
        watches[name] = GpuStopwatch() if device == "cuda" else Stopwatch()
        return watches[name]

    def platform() -> float:
        compiling = ["trainer.compile=true"] if setting.compile else []
        return platform_speed([*overrides, *compiling], warm_up, iterations, watch(PLATFORM)).images

    def loop() -> float:
        stopwatch = watch(LOOP)
        tuned = TunedLoop(composed(overrides, Path()), device, compile=setting.compile)
        return loop_speed(tuned, warm_up, iterations, stopwatch).images

    return Measured(in_turns({LOOP: loop, PLATFORM: platform}, rounds), watches)


def table_of(results: dict[Setting, Measured], settings: Sequence[Setting]) -> Table:
    """Return the measurements as a table; a setting without a result was not run."""
    table = Table("setting", "contender", "images/s", "of the loop", "GPU busy", "peak MiB")
    for setting in settings:
        facts = f"{setting.size} px, batch {setting.batch}{', compiled' if setting.compile else ''}"
        if setting not in results:
            table.add_row(facts, "both", "not run", "", "", "")
            continue
        speeds, watches = results[setting]
        for name in (LOOP, PLATFORM):
            beside = spread(ratios(speeds[name], speeds[LOOP])) if name == PLATFORM else ""
            table.add_row(facts, name, spread(speeds[name], 0), beside, *use_of_gpu(watches[name]))
    return table


def use_of_gpu(stopwatch: Stopwatch) -> tuple[str, str]:
    """Return the GPU's utilisation and peak memory as text; empty without one."""
    if not isinstance(stopwatch, GpuStopwatch):
        return "", ""
    return "unknown" if stopwatch.busy is None else f"{stopwatch.busy:.0f} %", f"{stopwatch.peak_mib:.0f}"


def summary(results: dict[Setting, Measured]) -> Iterator[str]:
    """Return a sentence on the ratios, where there are any."""
    if results:
        middle = {s: median(ratios(m.speeds[PLATFORM], m.speeds[LOOP])) for s, m in results.items()}
        yield f"The platform is at {min(middle.values()):.2f} to {max(middle.values()):.2f} of the loop's speed."


def main() -> None:
    """Measure and print."""
    parser = arguments_of(__doc__, rounds=3, iterations=300, warm_up=50)
    parser.add_argument("--sizes", type=int, nargs="+", choices=(32, 64, 128), default=[32, 64], help="in pixels")
    parser.add_argument("--batches", type=positive, nargs="+", default=[64, 512], help="images of an iteration")
    parser.add_argument("--width", type=positive, default=128, help="of both networks (default: 128, as published)")
    given = parser.parse_args()
    settings = [Setting(*choice) for choice in product(given.sizes, given.batches, (False, True))]
    if not torch.cuda.is_available():
        present(table_of({}, settings), "There is no CUDA GPU here: nothing was measured.")
        return
    prepare()
    results = {
        setting: measure(
            setting, "cuda", rounds=given.rounds, iterations=given.iterations, warm_up=given.warm_up, width=given.width
        )
        for setting in settings
    }
    present(table_of(results, settings), *summary(results))


if __name__ == "__main__":
    main()
