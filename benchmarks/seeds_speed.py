"""Many seeds of the 1-D toy as one program beside one run after another, in one process, in turns.

    python -m benchmarks.seeds_speed
    python -m benchmarks.seeds_speed --quick

Whole runs of ``python train.py experiment=gaussian logger=csv [seeds=N]`` as users have them, with one evaluation at
the end; pictures and checkpoints are left out. What counts is how many games are played in the same time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.table import Table

import gan_lightning as gl
from benchmarks.common import SHOWN, in_turns, positive, prepare, present, ratios, spread

SETTINGS = ("experiment=gaussian", "callbacks.density=null", "callbacks.checkpoint=null", *SHOWN)
ONE = "one run"


def games_per_minute(iterations: int, seeds: int | None) -> float:
    """Return how many games of so many iterations a run plays in a minute; of one seed where `seeds` is None."""
    many = [] if seeds is None else [f"seeds={seeds}"]
    with TemporaryDirectory() as folder:
        directory = Path(folder) / "run"
        budget = [f"max_iterations={iterations}", f"evaluate_every={iterations}"]
        started = time.perf_counter()
        gl.train([*SETTINGS, *many, *budget, f"hydra.run.dir='{directory}'"])
        return 60 * (seeds or 1) / (time.perf_counter() - started)


def measure(rounds: int, iterations: int, seeds: Sequence[int]) -> dict[str, list[float]]:
    """Return games a minute of one run, and of all `seeds` as one program, a number a round."""
    contenders = {ONE: None, **{f"seeds={number}": number for number in seeds}}
    return in_turns(
        {name: partial(games_per_minute, iterations, number) for name, number in contenders.items()}, rounds
    )


def table_of(measured: dict[str, list[float]], iterations: int) -> Table:
    """Return the measurements as a table."""
    table = Table("contender", "games a minute", "of one run", title=f"{iterations} iterations, medians (range)")
    for name, speeds in measured.items():
        table.add_row(name, spread(speeds, 1), "" if name == ONE else spread(ratios(speeds, measured[ONE]), 1))
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=positive, nargs="+", default=[32, 64], help="of a run (default: 32 64)")
    parser.add_argument("--iterations", type=positive, default=4000, help="of each game (default: 4000)")
    parser.add_argument("--rounds", type=positive, default=3, help="how often each is timed (default: 3)")
    parser.add_argument("--threads", type=positive, default=2, help="of PyTorch (default: 2)")
    parser.add_argument("--quick", action="store_true", help="one round of 4 seeds and 50 iterations")
    given = parser.parse_args(arguments)
    rounds, iterations, seeds = (1, 50, [4]) if given.quick else (given.rounds, given.iterations, given.seeds)
    prepare(given.threads)
    present(table_of(measure(rounds, iterations, seeds), iterations))


if __name__ == "__main__":
    main()
