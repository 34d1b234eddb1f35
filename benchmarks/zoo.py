"""The zoo: every experiment on handwritten digits, trained with the same budget, in one table and one picture.

    python -m benchmarks.zoo                             # all of them, seeds 10, 11 and 12
    python -m benchmarks.zoo --only acgan,wgan_gp        # some
    python -m benchmarks.zoo --resume                    # continues after the last run that finished
    python -m benchmarks.zoo --no-train                  # the table and the picture anew, from the runs that are there
    python -m benchmarks.zoo --quick --runs /tmp/zoo --results /tmp/zoo   # two experiments, in under a minute
    python -m benchmarks.zoo trainer.precision=32-true   # with further overrides for every run

A run is ``python train.py experiment=X max_iterations=N seed=S``, one after another, in outputs/zoo/<images>/X_s<S>.
The budget is the real images that the discriminator sees, the same for all: N = images / (batch size * discriminator
steps) updates of the generator. The experiments are those that the digit metrics evaluate on all ten digits of
data=mnist10k. What was measured goes to benchmarks/results/zoo.md and zoo.png; the lines of zoo_notes.md beside them,
where there is one, stand below the table.
A run that fails is reported with its reason and does not stop the others; the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from benchmarks.common import composed, hardware, positive
from benchmarks.zoo_table import Protocol, Row, save_picture, spread, table_of
from gan_lightning.evaluation.protocol import UNKNOWN, MixedProtocolsError
from gan_lightning.runs.overrides import quoted
from gan_lightning.runs.resume_policy import NOTHING, Change, changes
from gan_lightning.utils.conf import conf_dir, plain

ROOT = Path(__file__).parents[1]
DIGITS, METRIC = "gan_lightning.data.mnist.Mnist10k", "gan_lightning.metrics.digits.DigitQuality"
NUM_FAKES = 9000
IMAGES = 320_000
SEEDS = "10,11,12"
QUICK = ("--only=digits,lsgan", "--images=1280", "--seeds=10")


class Run:
    """One experiment with one seed.

    Args:
        experiment: its name.
        seed: of everything.
        images: the budget, real images that the discriminator sees.
        overrides: what else is to be otherwise than in the experiment's file.
        runs: where the runs of this budget lie.
    """

    def __init__(self, experiment: str, seed: int, images: int, overrides: tuple[str, ...], runs: Path) -> None:
        self.experiment, self.seed = experiment, seed
        self.iterations, metrics = plan(experiment, images, overrides)
        self.directory = runs / f"{experiment}_s{seed}"
        every = [f"{what}_every={self.iterations}" for what in ("evaluate", "samples", "checkpoint")]
        self.overrides = [
            *(f"experiment={experiment}", f"max_iterations={self.iterations}", f"seed={seed}", "logger=csv", *every),
            *(*metrics, f"metrics.num_fakes={NUM_FAKES}", *overrides),
        ]

    def __str__(self) -> str:
        return f"{self.experiment} seed {self.seed}"

    @property
    def result(self) -> dict[str, Any]:
        """What its result.json says; nothing where there is none."""
        path = self.directory / "result.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def problem(self) -> str | None:
        """Return why it cannot stand in the table; None where it can."""
        result = self.result
        if result.get("status") != "finished" or result.get("iterations") != self.iterations:
            log = self.directory / "zoo.log"
            lines = (
                [line.strip(" -") for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
                if log.is_file()
                else []
            )
            return result.get("error") or (lines or ["nothing is known of it"])[-1]
        if result.get("protocol") is None:
            return f"{UNKNOWN}: train it anew"
        before = OmegaConf.load(self.directory / "config.yaml")
        try:
            differing = changes(OmegaConf.to_container(before), settings(*self.overrides))
            changed = [change for change in differing if not added_and_off(change)]
        except (HydraException, OmegaConfBaseException) as error:
            return " ".join(str(error).split())
        more = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
        if changed:
            return f"it was trained with other settings: {changed[0]}{more}"
        wanted, used = settings(*self.overrides)["metrics"]["num_fakes"], result["protocol"]["num_fakes"]
        if wanted != used:
            return (
                f"it was evaluated on {used} fakes and not on {wanted}: train it anew with --resume, or give "
                f"metrics.num_fakes={used}"
            )
        return None

    def summary(self) -> str:
        """Return the result in a few words."""
        row = Row(self.experiment, [self.directory], [self.result])
        return f"fid {spread(row.values('val/fid'), 1)}, {self.result['seconds']:.0f} s"

    def play(self) -> None:
        """Train it from the beginning, to whatever end, with all that it prints in zoo.log."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        (self.directory / "hardware.txt").write_text(hardware(), encoding="utf-8")
        command = [
            sys.executable,
            str(ROOT / "train.py"),
            *self.overrides,
            f"hydra.run.dir={quoted(str(self.directory))}",
        ]
        with (self.directory / "zoo.log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                code = process.wait()
            except KeyboardInterrupt:  # which it has received too
                process.wait()
                raise
            if code < 0:
                log.write(f"it was ended by signal {-code}\n")


def added_and_off(change: Change) -> bool:
    """Return whether a setting came with a later version and is off, so that an older run trained as if it had it."""
    return change.before is NOTHING and not change.now


@cache
def plan(experiment: str, images: int, overrides: tuple[str, ...]) -> tuple[int, list[str]]:
    """Return the updates of the generator that see `images` real ones, and what adds precision and recall."""
    config = composed([f"experiment={experiment}", *overrides], ROOT)
    updates = images // (config.data.batch_size * config.loss.discriminator_steps)
    has = "precision_recall" in config.metrics.metrics
    return max(updates, 1), [] if has else [f"metrics=[precision_recall,{config.choices.metrics}]"]


@cache
def settings(*overrides: str) -> dict[str, Any]:
    """Return the settings of the run of ``python train.py <overrides>``."""
    return plain(composed(overrides, ROOT))


def zoo(names: Iterable[str], overrides: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """Return those experiments of `names` that are for the digits, and what is wrong with those that do not compose."""
    found, problems = [], {}
    for name in sorted(names):
        try:
            if for_digits(name):
                composed([f"experiment={name}", *overrides], ROOT)
                found.append(name)
        except HydraException as error:
            problems[name] = " ".join(str(error).split())
    return found, problems


@cache
def for_digits(experiment: str) -> bool:
    """Return whether an experiment is evaluated on the ten digits that data=mnist10k trains on.

    Raises:
        HydraException: it does not compose.
    """
    config = composed([f"experiment={experiment}"], ROOT)
    data, metrics = config.data, [metric.get("_target_") for metric in config.metrics.metrics.values()]
    return data._target_ == DIGITS and data.classes is None and data.reference == "train" and METRIC in metrics


def train(runs: Sequence[Run]) -> None:
    """Train those of `runs` that cannot stand in the table yet, a line for each."""
    waiting = [run for run in runs if run.problem() is not None]
    if len(waiting) < len(runs):
        print(f"{len(runs) - len(waiting)} of {len(runs)} runs have finished before")
    started = time.monotonic()
    for number, run in enumerate(waiting, start=1):
        print(f"[{number}/{len(waiting)}] {run}: ", end="", flush=True)
        run.play()
        outcome = f"failed: {problem}" if (problem := run.problem()) else run.summary()
        left = (time.monotonic() - started) / number * (len(waiting) - number)
        print(f"{outcome}; about {left / 60:.0f} min to go", flush=True)


def rows_of(runs: Sequence[Run]) -> Iterator[Row]:
    """Return a row for each experiment with a run that can stand in the table."""
    for experiment in dict.fromkeys(run.experiment for run in runs):
        mine = [run for run in runs if run.experiment == experiment and run.problem() is None]
        if mine:
            yield Row(experiment, [run.directory for run in mine], [run.result for run in mine])


def present(runs: Sequence[Run], problems: dict[str, str], protocol: Protocol, folder: Path) -> bool:
    """Write the table and the picture into `folder`, and print the table; whether there was anything to write."""
    rows = sorted(rows_of(runs), key=lambda row: row.order)
    if not rows:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    notes = folder / "zoo_notes.md"
    table = table_of(rows, problems, protocol, notes.read_text(encoding="utf-8") if notes.is_file() else "")
    (folder / "zoo.md").write_text(table, encoding="utf-8")
    save_picture({row.experiment: row.samples() for row in rows}, folder / "zoo.png")
    print(f"\n{table}\n{os.path.relpath(folder / 'zoo.md')}, {os.path.relpath(folder / 'zoo.png')}")
    return True


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("overrides", nargs="*", help="overrides for every run")
    made.add_argument(
        "--images", type=positive, default=IMAGES, help=f"the budget of a run, real images (default: {IMAGES})"
    )
    made.add_argument("--seeds", type=seeds_of, default=seeds_of(SEEDS), help=f"with commas between (default: {SEEDS})")
    made.add_argument("--quick", action="store_true", help=f"in under a minute: {' '.join(QUICK)}")
    made.add_argument("--only", help="train these alone: names, with commas between; the table has all")
    made.add_argument("--resume", action="store_true", help="keep the runs that finished, train the others anew")
    made.add_argument("--no-train", action="store_true", help="only the table and the picture, from what is there")
    made.add_argument("--runs", type=Path, default=ROOT / "outputs" / "zoo", help="where the runs go")
    made.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results", help="where the table goes")
    return made


def seeds_of(text: str) -> list[int]:
    """Return seeds from text such as ``10,11,12``, for argparse."""
    return [int(seed) for seed in text.split(",")]


def main() -> None:
    """Train what is not there yet, and show all that is."""
    given = parser().parse_args()
    if given.quick:
        given = parser().parse_args([*QUICK, *sys.argv[1:]])
    folder, overrides = given.runs.resolve() / str(given.images), tuple(given.overrides)
    known = {path.stem for path in Path(conf_dir(), "experiment").glob("*.yaml")}
    there = {path.name.rpartition("_s")[0] for path in folder.glob("*_s*")}
    chosen_names = set(given.only.split(",")) if given.only else known
    experiments, problems = zoo(known & there if given.no_train else known & (chosen_names | there), overrides)
    wrong = chosen_names - {*experiments, *problems} if given.only else set()
    if wrong:
        parser().error(f"--only {','.join(sorted(wrong))}: no experiment of this name is evaluated on all ten digits")
    runs = [
        Run(experiment, seed, given.images, overrides, folder) for seed in given.seeds for experiment in experiments
    ]
    if not given.no_train:
        chosen = [run for run in runs if run.experiment in chosen_names]
        if not given.resume and any(run.directory.exists() for run in chosen):
            parser().error(f"{folder} holds such runs already: continue with --resume, or delete them to start over")
        try:
            train(chosen)
        except KeyboardInterrupt:
            print("\nstopped: continue with --resume")
            sys.exit(130)
    runs = [run for run in runs if run.directory.exists()]
    problems |= {str(run): problem for run in runs if (problem := run.problem())}
    try:
        written = present(runs, problems, Protocol(given.images, given.seeds, overrides), given.results.resolve())
    except MixedProtocolsError as error:
        sys.exit(f"{error}. Train one of them anew: delete its folder in {folder}, and continue with --resume")
    for name, problem in problems.items():
        print(f"not in the table: {name}: {problem}", file=sys.stderr)
    sys.exit(0 if written and not problems else 1)


if __name__ == "__main__":
    main()
