"""Two processes on this machine's processor: the platform's own strategy beside Lightning's, in turns, and agreement.

    python -m benchmarks.devices_speed                                            # a DCGAN of 32 pixels
    python -m benchmarks.devices_speed --game toy --warm-up 500 --iterations 3000 # the 1-D toy

Speed is of ``python train.py variant=none regularizer=[] data.image_size=32 data.batch_size=128 trainer.devices=2``, of
perceptrons on 28 pixels (``--game mlp``) or of ``experiment=gaussian ~loss.objectives.r1 data.batch_size=128``
(``--game toy``), with the platform's strategy and with ``trainer.strategy=ddp_find_unused_parameters_true``, which is
what Lightning offers for two players; one process with all the cores stands beside them. Each run is a command of its
own; its ``images_per_second`` after the warm-up counts. Agreement is the largest
difference of any weight or buffer: between the two ranks of those runs, and between two processes and one on the same
batches (an MLP without batch norm, float32). The latter is rounding, which Adam enlarges where a gradient is nearly 0
(it divides by its size) and SGD does not.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from lightning import Callback, LightningModule, Trainer
from rich.table import Table
from torch import Tensor

from benchmarks.common import arguments_of, cores, in_turns, positive, present, ratios, spread
from gan_lightning.callbacks.periodic import as_gan

ROOT = Path(__file__).parents[1]
LINES = 10
"""Lines of the log in the timed part of a run."""

QUIET = (
    "logger=csv",
    "trainer.accelerator=cpu",
    "callbacks.evaluation=null",
    "callbacks.checkpoint=null",
    "+callbacks.weights._target_=benchmarks.devices_speed.WeightsOfRanks",
)
GAMES = {
    "dcgan": ("model=dcgan", "variant=none", "regularizer=[]", "data.image_size=32", "callbacks.samples=null"),
    "mlp": ("model=mlp", "variant=none", "regularizer=[]", "callbacks.samples=null"),
    "toy": ("experiment=gaussian", "~loss.objectives.r1", "callbacks.density=null"),
}
EXACT = (*QUIET, *GAMES["mlp"], "loss.discriminator_norm=none", "trainer.precision=32-true")

ONE = "one process"
OWN = "two, platform's strategy"
LIGHTNING = "two, ddp_find_unused_parameters_true"
STRATEGIES = {
    ONE: ("trainer.devices=1",),
    OWN: ("trainer.devices=2",),
    LIGHTNING: ("trainer.devices=2", "trainer.strategy=ddp_find_unused_parameters_true"),
}


class WeightsOfRanks(Callback):
    """Saves both networks' weights and buffers when training ends, a file for each rank in the run's directory."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        gan = as_gan(pl_module)
        players = {"generator": gan.generator, "discriminator": gan.discriminator}
        state = {f"{name}.{key}": value for name, net in players.items() for key, value in net.state_dict().items()}
        torch.save(state, Path(trainer.default_root_dir, f"rank{trainer.global_rank}.pt"))


@dataclass
class Runs:
    """Runs of train.py in processes of their own.

    Args:
        game: one of `GAMES`.
        batch: images of an iteration, over all processes.
        width: of both networks; None leaves it to the game.
        warm_up: iterations before the clock starts.
        iterations: timed ones, a multiple of `LINES`.
    """

    game: str
    batch: int
    width: int | None
    warm_up: int
    iterations: int
    differences: dict[str, float] = field(default_factory=dict)

    def speed(self, name: str) -> float:
        """Return images a second with one of `STRATEGIES`; the ranks' difference is kept in `differences`."""
        every = self.iterations // LINES
        players = ("generator", "discriminator") if self.width else ()
        widths = [f"model.{player}.width={self.width}" for player in players]
        settings = [
            *QUIET,
            *GAMES[self.game],
            *widths,
            *STRATEGIES[name],
            f"log_every={every}",
            f"data.batch_size={self.batch}",
        ]
        with TemporaryDirectory() as folder:
            run([*settings, f"max_iterations={self.warm_up + self.iterations}"], Path(folder))
            if name != ONE:
                found = largest_difference(*(weights(Path(folder), rank) for rank in (0, 1)))
                self.differences[name] = max(found, self.differences.get(name, 0.0))
            return images_per_second(Path(folder, "metrics.csv"), self.warm_up)

    def difference_from_one_process(self, optimizer: str, iterations: int = 20) -> float:
        """Return the largest difference of any weight between two processes and one after as many iterations."""
        settings = [*EXACT, f"optimizer={optimizer}", f"data.batch_size={self.batch}", f"max_iterations={iterations}"]
        with TemporaryDirectory() as together, TemporaryDirectory() as alone:
            run([*settings, *STRATEGIES[OWN]], Path(together))
            run([*settings, *STRATEGIES[ONE]], Path(alone))
            return largest_difference(weights(Path(together)), weights(Path(alone)))


def run(overrides: Sequence[str], directory: Path) -> None:
    """Run train.py to its end in `directory`, every process with its share of the cores.

    Raises:
        RuntimeError: it failed; with what it printed last.
    """
    processes = 2 if "trainer.devices=2" in overrides else 1
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, cores() // processes)), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "train.py"), *overrides, f"hydra.run.dir={directory}"]
    done = subprocess.run(
        command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"train.py {' '.join(overrides)} ended with {done.returncode}:\n{done.stderr[-2000:]}")


def images_per_second(metrics: Path, warm_up: int) -> float:
    """Return the mean over all lines of a run's metrics.csv from the first at or after `warm_up` iterations on.

    Raises:
        ValueError: fewer than two lines are left.
    """
    with metrics.open(newline="", encoding="utf-8") as file:
        lines = [line for line in csv.DictReader(file) if line.get("images_per_second")]
    kept = [line for line in lines if int(line["iteration"]) >= warm_up]
    if len(kept) < 2:
        raise ValueError(f"{metrics} has {len(kept)} line(s) after {warm_up} iterations: choose more iterations")
    images = [float(line["images"]) for line in kept]
    pieces = [later - earlier for earlier, later in zip(images, images[1:], strict=False)]
    seconds = sum(piece / float(line["images_per_second"]) for piece, line in zip(pieces, kept[1:], strict=True))
    return sum(pieces) / seconds


def weights(directory: Path, rank: int = 0) -> dict[str, Tensor]:
    """Return what `WeightsOfRanks` left in a run's directory."""
    state: dict[str, Tensor] = torch.load(directory / f"rank{rank}.pt", weights_only=True)
    return state


def largest_difference(these: dict[str, Tensor], those: dict[str, Tensor]) -> float:
    """Return the largest absolute difference of any value of the same name.

    Raises:
        ValueError: the names differ.
    """
    if these.keys() != those.keys():
        raise ValueError(f"not the same networks: {sorted(these.keys() ^ those.keys())} are in one of them only")
    return max(float((these[name].double() - those[name].double()).abs().max()) for name in these)


def table_of(measured: dict[str, list[float]], differences: dict[str, float], title: str) -> Table:
    """Return the measurements as a table."""
    table = Table("contender", "images/s", "of Lightning's", "of one process", "ranks differ by", title=title)
    for name, speeds in measured.items():
        beside = "" if name == LIGHTNING else spread(ratios(speeds, measured[LIGHTNING]))
        alone = "" if name == ONE else spread(ratios(speeds, measured[ONE]))
        differ = f"{differences[name]:.1e}" if name in differences else ""
        table.add_row(name, spread(speeds, 0), beside, alone, differ)
    return table


def main() -> None:
    """Measure and print."""
    parser = arguments_of(__doc__, rounds=3, iterations=100, warm_up=20)
    parser.add_argument("--batch", type=positive, default=128, help="images of an iteration (default: 128)")
    parser.add_argument("--game", choices=GAMES, default="dcgan", help="which training is timed (default: dcgan)")
    parser.add_argument("--width", type=positive, help="of both networks (default: that of the game)")
    given = parser.parse_args()
    if given.batch % 2:
        parser.error(f"--batch must be even, not {given.batch}")
    if given.iterations % LINES:
        parser.error(f"--iterations must be a multiple of {LINES}, not {given.iterations}")
    runs = Runs(given.game, given.batch, given.width, given.warm_up, given.iterations)
    measured = in_turns({name: partial(runs.speed, name) for name in STRATEGIES}, given.rounds)
    apart = {optimizer: runs.difference_from_one_process(optimizer) for optimizer in ("adam", "sgd")}
    width = f" of width {given.width}" if given.width else ""
    title = f"{given.game}{width}, batch {given.batch}, medians (range)"
    present(
        table_of(measured, runs.differences, title),
        f"Two processes and one, an MLP in float32 after 20 iterations: weights differ by at most {apart['adam']:.1e} "
        f"with Adam, {apart['sgd']:.1e} with SGD.",
    )


if __name__ == "__main__":
    main()
