"""Kills a run again and again, starts it again with the same command, and compares its end with a run left alone.

    python -m benchmarks.kills --kills 50 --seed 0

The run is ``python train.py experiment=gaussian resume=auto`` in a folder of its own, with evaluations, pictures and
checkpoints every few iterations. It is killed with SIGKILL at random moments: while it starts, while it plays and while
it saves. When that has happened often enough it may play to its end, and every tensor of its last checkpoint, every
number of metrics.csv and the best metric must be those of a run that was not killed.

Each start is a process of its own, and all of it is killed. It is forked from one that has imported the packages
already and has done nothing else, which saves some ten seconds a start.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import os
import random
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from gan_lightning.cli import train
from gan_lightning.runs import training as session

SETTINGS = (
    "experiment=gaussian",
    "resume=auto",
    "logger=csv",
    "log_every=1",
    "evaluate_every=7",
    "samples_every=50",
    "checkpoint_every=5",
    "metrics.num_fakes=500",
    "data.reference_size=500",
    "callbacks.density.count=200",
    "trainer.accelerator=cpu",
)

ITERATIONS_A_KILL = 25
"""The budget grows with the kills, so that there is a game left to kill."""

MOMENTS = ("starting", "playing", "saving")

NOT_COMPARED = ("images_per_second",)
"""How fast it was."""


class Kill(NamedTuple):
    """What one kill met: when it was to come, the last iteration on record, and whether a checkpoint was there."""

    moment: str
    iteration: int
    saved: bool


def start(run: Path, iterations: int) -> int:
    """Fork a process that trains `run` to its end; return its id."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    os.setsid()
    log = os.open(run.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    sys.argv = ["train.py", *SETTINGS, f"max_iterations={iterations}", f"hydra.run.dir={run}"]
    try:
        train.main()
        os._exit(0)
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def ended(process: int) -> int | None:
    """Return the exit code of a child; None while it runs."""
    found, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def iteration_of(run: Path) -> int:
    """Return the last iteration that metrics.csv has a whole row of."""
    try:
        rows = (run / "metrics.csv").read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
        return int(rows[-1].partition(",")[0])
    except (OSError, ValueError, IndexError):
        return 0


def kill_once(run: Path, iterations: int, rng: random.Random) -> Kill:
    """Start `run`, and kill it at a random moment.

    Raises:
        RuntimeError: it ended by itself.
    """
    moment = rng.choice(MOMENTS)
    saved, before = (run / "checkpoints" / "last.ckpt").is_file(), iteration_of(run)
    target = before + rng.randint(1, 2 * ITERATIONS_A_KILL - 5)
    pause = rng.uniform(0, 0.01)
    early = time.monotonic() + rng.uniform(0, 2.0)
    process = start(run, iterations)
    while (code := ended(process)) is None:
        if moment == "starting" and time.monotonic() >= early:
            break
        if moment != "starting" and iteration_of(run) >= target and (moment == "playing" or saving(run)):
            time.sleep(pause if moment == "playing" else 0)
            break
    if code is not None:
        raise RuntimeError(
            f"the run ended by itself with code {code}: {run.with_suffix('.log').read_text(encoding='utf-8')[-2000:]}"
        )
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return Kill(moment, iteration_of(run), saved)


def saving(run: Path) -> bool:
    """Return whether a checkpoint is being written."""
    return any((run / "checkpoints").glob("*.part"))


def play_to_the_end(run: Path, iterations: int) -> None:
    """Start `run` and wait for its end.

    Raises:
        RuntimeError: it failed.
    """
    _, status = os.waitpid(start(run, iterations), 0)
    if status:
        raise RuntimeError(f"the run failed: {run.with_suffix('.log').read_text(encoding='utf-8')[-2000:]}")


def differences(found: Any, expected: Any, where: str) -> list[str]:
    """Return the places at which two nested states differ, in any bit."""
    if isinstance(expected, torch.Tensor):
        return [] if torch.equal(found, expected) else [where]
    if isinstance(expected, Mapping):
        if list(found) != list(expected):
            return [where]
        return [place for key in expected for place in differences(found[key], expected[key], f"{where}.{key}")]
    if isinstance(expected, Sequence) and not isinstance(expected, str):
        pairs = list(enumerate(zip(found, expected, strict=False)))
        return [place for index, pair in pairs for place in differences(*pair, f"{where}[{index}]")] + (
            [] if len(found) == len(expected) else [where]
        )
    return [] if found == expected else [where]


def state(run: Path) -> dict[str, Any]:
    """Return the part of a run that must not depend on whether it was killed."""
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        numbers = [
            {key: value for key, value in row.items() if key not in NOT_COMPARED} for row in csv.DictReader(file)
        ]
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    parts = ("state_dict", "optimizer_states", "lr_schedulers", "game")
    return {part: content[part] for part in parts} | {
        "metrics.csv": {row["iteration"]: dict(sorted(row.items())) for row in numbers},
        "best": result["best"],
        "final": result["final"],
    }


def main() -> None:
    """Kill, resume, compare, and report; the exit code is 1 when the two runs differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="how often the run is killed (default: 50)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    arguments = parser.parse_args()
    rng, iterations = random.Random(arguments.seed), ITERATIONS_A_KILL * (arguments.kills + 1)
    session.silence_warnings()
    gc.freeze()
    with TemporaryDirectory() as folder:
        alone, killed = Path(folder, "alone"), Path(folder, "killed")
        play_to_the_end(alone, iterations)
        kills = []
        for _ in track(range(arguments.kills), description="killing"):
            kills.append(kill_once(killed, iterations, rng))
        play_to_the_end(killed, iterations)
        found, expected = state(killed), state(alone)
    differing = differences(found, expected, "")
    report(kills, iterations, differing)
    sys.exit(1 if differing else 0)


def report(kills: Sequence[Kill], iterations: int, differing: Sequence[str]) -> None:
    """Return how often the run was killed, and how the two runs compare."""
    table = Table("killed while", "times", "at iterations")
    for moment in MOMENTS:
        met = [kill.iteration for kill in kills if kill.moment == moment]
        table.add_row(moment, str(len(met)), " ".join(map(str, met)))
    console = Console(highlight=False)
    console.print(table)
    gone_on = sum(kill.saved for kill in kills) + 1
    console.print(
        f"{len(kills)} kills on the way to iteration {iterations}; {gone_on} starts went on from a checkpoint"
    )
    console.print(
        f"different: {', '.join(differing)}" if differing else "equal in every tensor, number and best metric"
    )


if __name__ == "__main__":
    main()
