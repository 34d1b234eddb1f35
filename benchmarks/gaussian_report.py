"""The 1-D Gaussian of a course report (Tabak 2016), over many seeds: its four findings as numbers with intervals.

    python -m benchmarks.gaussian_report                 # 20 seeds, from 10 on, of each setting
    python -m benchmarks.gaussian_report --no-train      # the table and the figure anew, from the runs that are there
    python -m benchmarks.gaussian_report --quick --results /tmp/gaussian     # 2 seeds, 100 iterations

Each row is ``python train.py experiment=gaussian seeds=N seed=S data.mean=M data.std=D prior.low=-W prior.high=W``, as
the report plays it (plain Adam of one rate for both players, no schedule, no average) and as ``experiment=gaussian`` is
here. A seed succeeds where the Jensen-Shannon divergence between samples and data is at most .05 nats (ln 2 = .69 where
they do not touch; a Gaussian of the right width that is .65 standard deviations off has .05).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from scipy.stats import binomtest

import gan_lightning as gl
from benchmarks.common import hardware, last_rows, positive, report_arguments, write_report
from gan_lightning.utils.statistics import bootstrap_interval, p_value

TARGETS = ((3.0, 0.5), (3.0, 0.2), (-2.0, 0.5))
"""Mean and standard deviation of the data."""

WIDTHS = (8.0, 10.0)
"""The noise is uniform on (-width, width)."""

REPORT = (
    *(
        f"model.{player}.{setting}"
        for player in ("generator", "discriminator")
        for setting in ("width=11", "activation=Tanh")
    ),
    *("model.generator.depth=1", "model.generator.latent_std=null"),
    *("model.discriminator.input_mean=null", "model.discriminator.input_std=null"),
    *("~loss.objectives.r1", "optimizer.betas=[0.5,0.999]", "optimizer.generator.lr=1e-3"),
    "schedule=constant",
    "ema.half_life_images=0",
)
"""The report's own game, where experiment=gaussian has changed it."""

MOST_DIVERGENCE = 0.05
"""Largest Jensen-Shannon divergence, in nats, of a seed that succeeds."""

HEADER = "| settings | data | noise | succeed | W1 | std ratio | JSD | abs(D - D*) | abs(D - 1/2) | V(D, G) | C(G) |"
FIGURES = (
    "val/wasserstein1",
    "std_ratio",
    "val/jsd",
    "val/discriminator_error",
    "val/distance_from_half",
    "val/game_value",
    "val/optimal_value",
)


@dataclass(frozen=True)
class Cell:
    """One setting, trained with many seeds as one program.

    Args:
        settings: "report" or "platform".
        mean, std: of the data.
        width: of the noise.
        directory: of the run.
    """

    settings: str
    mean: float
    std: float
    width: float
    directory: Path

    @property
    def data(self) -> str:
        return f"N({self.mean:g}, {self.std:g})"

    @property
    def noise(self) -> str:
        return f"U(-{self.width:g}, {self.width:g})"

    def train(self, seeds: int, first: int, iterations: int) -> None:
        """Train it from nothing."""
        own = REPORT if self.settings == "report" else ()
        gl.train(
            [
                *("experiment=gaussian", f"seeds={seeds}", f"seed={first}", f"max_iterations={iterations}", *own),
                *(f"data.mean={self.mean}", f"data.std={self.std}", f"evaluate_every={iterations}"),
                *(f"prior.low={-self.width}", f"prior.high={self.width}", f"hydra.run.dir='{self.directory}'"),
            ]
        )

    @cached_property
    def rows(self) -> list[dict[str, float]]:
        """The last numbers of each seed, with the ratio of the standard deviations."""
        return [row | {"std_ratio": 1 + row["val/std_error"] / self.std} for row in last_rows(self.directory)]

    def values(self, key: str) -> list[float]:
        return [row[key] for row in self.rows]

    @property
    def succeeded(self) -> list[bool]:
        return [value <= MOST_DIVERGENCE for value in self.values("val/jsd")]

    @property
    def line(self) -> str:
        """Its row: the share that succeeds with Wilson's interval, and medians with the middle half of the seeds."""
        cells = [f"{self.settings}", self.data, self.noise, share(self.succeeded)]
        return f"| {' | '.join([*cells, *(middle(self.values(key)) for key in FIGURES)])} |"


def share(successes: Sequence[bool]) -> str:
    """Return how many of how many, with Wilson's 95 % interval of the share."""
    low, high = binomtest(sum(successes), len(successes)).proportion_ci(method="wilson")
    return f"{sum(successes)}/{len(successes)} ({low:.2f} to {high:.2f})"


def middle(values: Sequence[float]) -> str:
    """Return the median and the quartiles."""
    low, high = np.quantile(values, [0.25, 0.75])
    return f"{median(values):.3f} ({low:.3f} to {high:.3f})"


def findings(cells: Sequence[Cell]) -> list[str]:
    """Return the report's four findings, each with the numbers that confirm or refute it, of its own settings."""
    own = [cell for cell in cells if cell.settings == "report"]
    spreads = [float(np.std(cell.values("val/mean_error"), ddof=1)) for cell in own]
    # A mean of 10 000 samples has this standard error, the spread that evaluation alone would give.
    noise = max(cell.std / math.sqrt(10_000) for cell in own)
    wide, narrow, wide_w1, narrow_w1 = (
        [value for cell in own if (cell.mean, cell.std) == target for value in cell.values(key)]
        for key in ("val/jsd", "val/wasserstein1")
        for target in TARGETS[:2]
    )
    half = [value for cell in own for value in cell.values("val/distance_from_half")]
    ratios = [value for cell in own for value in cell.values("std_ratio")]
    ratio, distance = bootstrap_interval(ratios), bootstrap_interval(half)
    return [
        f"1. Results vary from run to run. The mean of the samples differs between seeds by a standard deviation of "
        f"{min(spreads):.3f} to {max(spreads):.3f}, where evaluation alone would give at most {noise:.3f}: "
        f"{verdict(min(spreads) > 3 * noise, max(spreads) < noise)}.",
        f"2. Wide data is harder than narrow. JSD of N(3, 0.5) {interval(wide)}, of N(3, 0.2) {interval(narrow)}: "
        f"{harder(wide, narrow)}. By W1, which is in units of the data, {interval(wide_w1)} and {interval(narrow_w1)}: "
        f"{harder(wide_w1, narrow_w1)}. (Welch's test, p = {p_value(wide, narrow):.2g} and "
        f"{p_value(wide_w1, narrow_w1):.2g}.)",
        f"3. The decision boundary ends near 1/2. Mean of abs(D - 1/2) over samples and data {interval(half)}, where "
        f"two densities that do not touch allow .5: {verdict(distance[1] < 0.05, distance[0] > 0.05)}"
        " (near: less than .05).",
        f"4. Samples come out with too little variance. Ratio of the standard deviations {interval(ratios)}: "
        f"{verdict(ratio[1] < 1, ratio[0] > 1)}.",
    ]


def interval(values: Sequence[float]) -> str:
    """Return the mean with its 95 % interval."""
    low, high = bootstrap_interval(values)
    return f"{np.mean(values):.3f} (95 %: {low:.3f} to {high:.3f})"


def harder(wide: Sequence[float], narrow: Sequence[float]) -> str:
    """Return whether wide data has the larger divergence, where the two can be told apart."""
    apart = p_value(wide, narrow) < 0.05
    return verdict(apart and np.mean(wide) > np.mean(narrow), apart and np.mean(wide) < np.mean(narrow))


def verdict(confirmed: bool, refuted: bool) -> str:
    """Return the word for what the numbers say of a finding."""
    return "confirmed" if confirmed else "refuted" if refuted else "neither confirmed nor refuted"


def figure(cells: Sequence[Cell]) -> Figure:
    """Return a figure of every seed: the error of its mean and the ratio of its standard deviation, by setting."""
    drawn = Figure(figsize=(10, 5.5), layout="constrained")
    panels = drawn.subplots(1, 2, sharey=True)
    for panel, key, at, name in zip(
        panels,
        ("val/mean_error", "std_ratio"),
        (0.0, 1.0),
        ("error of the mean / std of the data", "std of the samples / std of the data"),
        strict=True,
    ):
        for place, cell in enumerate(cells):
            values = np.array(cell.values(key)) / (cell.std if key == "val/mean_error" else 1)
            jitter = place + np.linspace(-0.25, 0.25, len(values))
            colours = ["tab:blue" if good else "tab:red" for good in cell.succeeded]
            panel.scatter(values, jitter, c=colours, s=14, alpha=0.7)
        panel.axvline(at, color="0.4", lw=1)
        panel.set_xlabel(name)
    panels[0].set_xlim(-2, 2)
    panels[1].set_xlim(0, 2)
    panels[0].set_yticks(range(len(cells)), [f"{cell.settings}  {cell.data}  {cell.noise}" for cell in cells])
    panels[0].invert_yaxis()
    drawn.suptitle("A point a seed; blue: JSD of at most .05")
    return drawn


def page(cells: Sequence[Cell], seeds: int, first: int, iterations: int) -> str:
    """Return the table and the findings as Markdown."""
    lines = [
        "# The 1-D Gaussian of the course report",
        "",
        f"`python -m benchmarks.gaussian_report`: seeds {first} to {first + seeds - 1}, {iterations} iterations of 120 "
        "samples. `report`: 11 hidden units, Adam at 1e-3 for both players, constant, no average of the generator. "
        "`platform`: `experiment=gaussian` (first layers that read standardised numbers, 2 layers of 32, R1, Adam "
        "without momentum, rates that fall on a line, the averaged generator is evaluated).",
        "",
        f"A seed succeeds where JSD is at most {MOST_DIVERGENCE} nats; the share stands with Wilson's 95 % interval, "
        "the other figures are medians with quartiles. W1 and JSD are of 10 000 samples against the known density; "
        "abs(D - D*), abs(D - 1/2), the value V(D, G) and C(G), both -log 4 = -1.386 at the end, are of the game as "
        "played, of the raw generator.",
        "",
        HEADER,
        "|" + " --- |" * 3 + " ---: |" * (HEADER.count("|") - 4),
        *(cell.line for cell in cells),
        "",
        "![Every seed](gaussian.png)",
        "",
        "The report's findings, in its own settings:",
        "",
        *findings(cells),
        "",
        f"Machine: {hardware().splitlines()[0]}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Train all settings and write the table and the figure."""
    parser = report_arguments(__doc__, seeds=20, quick="2 seeds, 100 iterations", runs="outputs/gaussian_report")
    parser.add_argument("--iterations", type=positive, default=4000, help="updates of each player (default: 4000)")
    given = parser.parse_args()
    seeds, iterations = (2, 100) if given.quick else (given.seeds, given.iterations)
    cells = [
        Cell(settings, mean, std, width, given.runs.absolute() / f"{settings}_{mean:g}_{std:g}_{width:g}")
        for settings in ("report", "platform")
        for mean, std in TARGETS
        for width in WIDTHS
    ]
    console = Console(stderr=True)
    if missing := [
        cell.directory for cell in cells if given.no_train and not (cell.directory / "metrics.csv").is_file()
    ]:
        parser.error(f"there is no run in {missing[0]}: leave --no-train out")
    for cell in () if given.no_train else track(cells, "settings", console=console):
        cell.train(seeds, given.first, iterations)
    write_report(given.results, "gaussian", page(cells, seeds, given.first, iterations), figure(cells))


if __name__ == "__main__":
    main()
