"""Cost of a checkpoint's checksums, and of a run's lock with its heartbeat.

    python -m benchmarks.checkpoint_cost                 # a generator of 25 million parameters
    python -m benchmarks.checkpoint_cost --quick --results /tmp/cost

A DCGAN whose generator has some 25 million parameters makes one iteration, and its checkpoint is saved and read as
`train.py` does. When saving, the checksums are the digest of the structure and the CRC-32 of each tensor, which is the
difference between writing to nowhere with it and without it. When reading, both are compared and numbers that are not
finite are looked for, which plain `torch.load` does not do. All are timed in turns.

Times are those of the processor, so that other work on the machine and a slow disk do not enter: with a disk's own time
the shares of the checksums are smaller.

The lock of a run is taken and released once, and renewed every 10 seconds. Both are timed alone and held against the
time of an iteration of the 1-D toy.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning import Trainer

from benchmarks import toy_speed
from benchmarks.common import (
    SHOWN,
    Stopwatch,
    build,
    callbacks_of,
    composed,
    hardware,
    in_turns,
    plain,
    platform_speed,
    positive,
    prepare,
    spread,
)
from gan_lightning.callbacks.checkpoint import Checkpoint
from gan_lightning.runs.checkpoints import read_checkpoint
from gan_lightning.runs.lock import BEAT_S, RunLock
from gan_lightning.utils.checksum import structure_digest

NETWORKS = ("model=dcgan", "variant=none", "data=mnist10k", "data.batch_size=2", "metrics=none", "logger=csv")
QUIET = ("callbacks.samples=null", "callbacks.health=null", "trainer.accelerator=cpu", "trainer.precision=32-true")
WIDTH, QUICK_WIDTH = 744, 8
"""Of both networks: 744 makes 25 million parameters of the generator."""

SAVED, DIGEST, WITH_CRC, WITHOUT_CRC = "saved", "digest", "to nowhere", "to nowhere without CRC-32"
READ, READ_WITHOUT = "read", "read by torch.load"


def trained(width: int, directory: Path) -> Trainer:
    """Return the trainer of a DCGAN of that width after one iteration."""
    widths = [f"model.{player}.width={width}" for player in ("generator", "discriminator")]
    settings = [*NETWORKS, *QUIET, *widths, "max_iterations=1"]
    datamodule, gan, trainer = build(plain(composed(settings, directory)), directory)
    trainer.fit(gan, datamodule)
    return trainer


def seconds(action: Callable[[], object]) -> float:
    """Return how much of the processor's time `action` takes."""
    then = time.process_time()
    action()
    return time.process_time() - then


class ProcessorTime(Stopwatch):
    """Seconds of the processor between `start` and `stop`."""

    def start(self) -> None:
        self._began = time.process_time()

    def stop(self) -> None:
        self.seconds = time.process_time() - self._began


def write_to_nowhere(content: dict[str, Any], crc: bool = True) -> None:
    """Write a checkpoint to the null device, with the CRC-32 of each tensor or without."""
    torch.serialization.set_crc32_options(crc)
    try:
        with open(os.devnull, "wb") as nowhere:
            torch.save(content, nowhere)
    finally:
        torch.serialization.set_crc32_options(True)


def checkpoint_seconds(trainer: Trainer, directory: Path, rounds: int) -> dict[str, list[float]]:
    """Return how much time a checkpoint and its parts take, a number a round."""
    (checkpoint,) = [part for part in callbacks_of(trainer) if isinstance(part, Checkpoint)]
    path = directory / "checkpoints" / "last.ckpt"
    checkpoint.save(trainer)
    content = read_checkpoint(path)
    actions: dict[str, Callable[[], object]] = {
        SAVED: lambda: checkpoint.save(trainer),
        DIGEST: lambda: structure_digest(content),
        WITH_CRC: lambda: write_to_nowhere(content),
        WITHOUT_CRC: lambda: write_to_nowhere(content, crc=False),
        READ: lambda: read_checkpoint(path),
        READ_WITHOUT: lambda: torch.load(path, map_location="cpu", weights_only=True),
    }
    return in_turns({name: partial(seconds, action) for name, action in actions.items()}, rounds)


def shares_of_checksums(times: dict[str, list[float]]) -> tuple[float, float]:
    """Return the share of the checksums in saving and in reading, from medians of `checkpoint_seconds`, in percent."""
    of = {name: median(values) for name, values in times.items()}
    saving = of[DIGEST] + of[WITH_CRC] - of[WITHOUT_CRC]
    return 100 * saving / of[SAVED], 100 * (1 - of[READ_WITHOUT] / of[READ])


def lock_seconds(directory: Path, times: int) -> tuple[float, float]:
    """Return how much time taking and releasing the lock takes, and how much a heartbeat: medians."""
    taken, beats = [], []
    for _ in range(times):
        lock = RunLock(directory)
        first = seconds(lock.acquire)
        beats.append(seconds(lock.renew))
        taken.append(first + seconds(lock.release))
    return median(taken), median(beats)


def page(sizes: tuple[int, int, float], saving: dict[str, list[float]], lock: tuple[float, float], toy: float) -> str:
    """Return the results as Markdown.

    Args:
        sizes: parameters of generator and discriminator, and MB of the checkpoint.
        saving: of `checkpoint_seconds`.
        lock: of `lock_seconds`.
        toy: seconds of an iteration of the 1-D toy.
    """
    saved, read = shares_of_checksums(saving)
    taken, beat = lock
    generator, discriminator, megabytes = sizes
    lines = [
        "# Cost of checksums and of the lock",
        "",
        f"`python -m benchmarks.checkpoint_cost`: a DCGAN, {generator / 1e6:.1f} million parameters in the generator "
        f"and {discriminator / 1e6:.1f} million in the discriminator, a checkpoint of {megabytes:.0f} MB; medians of "
        f"{len(saving[SAVED])} rounds with their range, in seconds of the processor.",
        "",
        "| checkpoint | CPU seconds |",
        "| --- | ---: |",
        *(f"| {name} | {spread(values, 4)} |" for name, values in saving.items()),
        "",
        f"Of saving, checksums are {saved:.0f} %; of reading, comparing them and looking for numbers that are not "
        f"finite is {read:.0f} %.",
        "",
        "| lock | time | share |",
        "| --- | ---: | ---: |",
        f"| taken and released, once a run | {1e3 * taken:.2f} ms | {taken / toy:.2f} iterations of the 1-D toy |",
        f"| a heartbeat, every {BEAT_S:.0f} s | {1e6 * beat:.0f} µs | {100 * beat / BEAT_S:.5f} % of training, "
        f"{1e9 * beat * toy / BEAT_S:.3f} ns of the {1e3 * toy:.2f} ms that the toy's iteration takes |",
        "",
        f"Machine: {hardware().splitlines()[0]}.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=positive, default=7, help="how often each is timed (default: 7)")
    parser.add_argument("--quick", action="store_true", help="one round of small networks")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", help="where the page goes")
    given = parser.parse_args(arguments)
    prepare()
    rounds, width, iterations = (1, QUICK_WIDTH, 20) if given.quick else (given.rounds, WIDTH, 2000)
    with TemporaryDirectory() as folder:
        trainer = trained(width, Path(folder))
        saving = checkpoint_seconds(trainer, Path(folder), rounds)
        size = (Path(folder) / "checkpoints" / "last.ckpt").stat().st_size / 1e6
        players = (getattr(trainer.lightning_module, player) for player in ("generator", "discriminator"))
        generator, discriminator = (sum(weight.numel() for weight in network.parameters()) for network in players)
        lock = lock_seconds(Path(folder), 5 if given.quick else 200)
    toy = platform_speed([*toy_speed.SETTINGS, *SHOWN], iterations // 2, iterations, ProcessorTime())
    text = page((generator, discriminator, size), saving, lock, 1 / toy.iterations)
    given.results.mkdir(parents=True, exist_ok=True)
    (given.results / "checkpoint_cost.md").write_text(text, encoding="utf-8")
    print(text)
    print(given.results / "checkpoint_cost.md")


if __name__ == "__main__":
    main()
