"""The ring and the grid of Gaussians over many seeds, in the protocol of PacGAN (Lin et al. 2018, section 4.1).

    python -m benchmarks.mixtures                        # 10 seeds, from 10 on, of each method on each mixture
    python -m benchmarks.mixtures --only ring,r3gan      # some: names of mixtures or methods, with commas between
    python -m benchmarks.mixtures --no-train             # the table and the figure anew, from the runs that are there
    python -m benchmarks.mixtures --quick --results /tmp/mixtures

A row is ``python train.py experiment=ring|grid seeds=N seed=S max_iterations=I`` with the settings of a method, which
the table states. 2 500 samples of the averaged generator; a sample counts for a mode within 3 of its standard
deviations. The networks are those of the experiment for every method, so that methods are compared and not networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console
from rich.progress import track

import gan_lightning as gl
from benchmarks.common import finished, hardware, last_rows, positive, report_arguments, write_report

MIXTURES = {"ring": 8, "grid": 25}
"""With their number of modes."""

METHODS: Mapping[str, tuple[str, ...]] = {
    "experiment": (),
    "gan": ("loss=gan", "~loss.objectives.r1", "~loss.objectives.r2"),
    "pacgan 2": ("loss=gan", "~loss.objectives.r1", "~loss.objectives.r2", "variant=pacgan"),
    "pacgan 4": ("loss=gan", "~loss.objectives.r1", "~loss.objectives.r2", "variant=pacgan", "wrappers.pacgan.pack=4"),
    "wgan_gp": ("loss=wgan_gp", "~loss.objectives.r1", "~loss.objectives.r2"),
}
"""What is typed beside the experiment."""

FIGURES = {"modes": 1, "high_quality": 3, "reverse_kl": 3, "sigma_ratio": 2}
"""Columns, with the digits that are shown."""


@dataclass(frozen=True)
class Cell:
    """A method on a mixture, trained with many seeds as one program.

    Args:
        mixture: "ring" or "grid".
        method: one of METHODS.
        directory: of the run.
    """

    mixture: str
    method: str
    directory: Path

    def train(self, seeds: int, first: int, iterations: int) -> None:
        """Train it from nothing."""
        gl.train(
            [
                *(f"experiment={self.mixture}", *METHODS[self.method], f"seeds={seeds}", f"seed={first}"),
                *(f"max_iterations={iterations}", f"evaluate_every={iterations}"),
                f"hydra.run.dir='{self.directory}'",
            ]
        )

    @cached_property
    def rows(self) -> list[dict[str, float]]:
        """The last numbers of each seed."""
        return last_rows(self.directory)

    @property
    def reached(self) -> int:
        """Seeds with all modes, a share of .97 (ring) or .94 (grid) near them and a reverse KL of .03 or .05."""
        quality, divergence = (0.97, 0.03) if self.mixture == "ring" else (0.94, 0.05)
        return sum(
            row["val/modes"] == MIXTURES[self.mixture]
            and row["val/high_quality"] >= quality
            and row["val/reverse_kl"] <= divergence
            for row in self.rows
        )

    @property
    def line(self) -> str:
        """Its row: mean and standard deviation over the seeds."""
        cells = [
            f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.{digits}f}"
            for key, digits in FIGURES.items()
            for values in [[row[f"val/{key}"] for row in self.rows]]
        ]
        return f"| {self.mixture} | {self.method} | {' | '.join(cells)} | {self.reached}/{len(self.rows)} |"


def figure(cells: Sequence[Cell]) -> Figure:
    """Return each cell's picture of its seeds, one below the other."""
    drawn = Figure(figsize=(12, 2.6 * len(cells)), layout="constrained")
    for panel, cell in zip(drawn.subplots(len(cells), squeeze=False)[:, 0], cells, strict=True):
        with Image.open(cell.directory / "seeds.png") as picture:
            panel.imshow(picture.convert("RGB"))
        panel.set_title(f"{cell.mixture}, {cell.method}", loc="left")
        panel.set_axis_off()
    return drawn


def page(cells: Sequence[Cell], first: int, iterations: int) -> str:
    """Return the table as Markdown."""
    compared = {cell.method for cell in cells}
    others = ", ".join(f"{name} `{' '.join(typed)}`" for name, typed in METHODS.items() if typed and name in compared)
    lines = [
        "# The ring and the grid of Gaussians",
        "",
        f"`python -m benchmarks.mixtures`: seeds from {first} on, {iterations} iterations each. `experiment` is "
        "`experiment=ring` or `grid` as it stands"
        + (f"; the others keep its networks, optimizers and schedule, not its game: {others}." if others else "."),
        "",
        "2 500 samples of the averaged generator. A sample is of high quality within 3 standard deviations of a mode, "
        ".989 of the truth; modes and the reverse KL, in nats, count those samples alone, as the authors of PacGAN do. "
        "The sigma ratio is the modes' width over the true one. Mean ± standard deviation over the seeds. Reached: "
        "seeds with all modes, high quality of at least .97 and a reverse KL of at most .03 (grid: .94 and .05).",
        "",
        "| data | method | modes | high quality | reverse KL | sigma ratio | reached |",
        "| --- | --- |" + " ---: |" * 5,
        *(cell.line for cell in cells),
        "",
        "![Samples of every seed](mixtures.png)",
        "",
        f"Machine: {', '.join(hardware().splitlines())}.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing and write the table and the figure."""
    parser = report_arguments(
        __doc__, seeds=10, quick="one method on the ring, 2 seeds, 20 iterations", runs="outputs/mixtures"
    )
    parser.add_argument("--iterations", type=positive, default=20_000, help="of each game (default: 20000)")
    parser.add_argument("--only", default="", help="mixtures and methods, with commas between (default: all)")
    given = parser.parse_args(arguments)
    only = "ring,experiment" if given.quick else given.only
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in {*MIXTURES, *METHODS}]:
        parser.error(f"--only: no mixture or method {', '.join(unknown)}; there are {', '.join([*MIXTURES, *METHODS])}")
    seeds, iterations = (2, 20) if given.quick else (given.seeds, given.iterations)
    cells = [
        Cell(mixture, method, given.runs.absolute() / f"{mixture}_{method.replace(' ', '')}")
        for mixture in chosen(MIXTURES, wanted)
        for method in chosen(METHODS, wanted)
    ]
    if given.no_train:
        cells = [cell for cell in cells if finished(cell.directory)]
        if not cells:
            parser.error(f"there is no finished run in {given.runs}: leave --no-train out")
    for cell in track(cells, "methods", console=Console(stderr=True)):
        if not finished(cell.directory):
            cell.train(seeds, given.first, iterations)
    write_report(given.results, "mixtures", page(cells, given.first, iterations), figure(cells))


def chosen(names: Mapping[str, object], wanted: Sequence[str]) -> list[str]:
    """Return the names that are wanted, or all where none of them is."""
    return [name for name in names if name in wanted] or list(names)


if __name__ == "__main__":
    main()
