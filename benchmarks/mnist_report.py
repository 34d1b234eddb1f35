"""MNIST as vectors, after a course report (Tabak 2016): each digit by itself, and DCGAN beside perceptrons.

    python -m benchmarks.mnist_report                    # 40 runs of one digit, then 3 seeds of each model
    python -m benchmarks.mnist_report --no-train         # the tables and the figure anew, from the runs that are there
    python -m benchmarks.mnist_report --quick --results /tmp/mnist

A run of one digit is ``python train.py experiment=mnist_mlp_digit2 data.classes=[d] model.discriminator.depth=3|4
model.generator.value_range=[-1,1]|null``: 2 000 iterations of 50, some 100 epochs, with an output through tanh or a
linear one. The two models have the same minutes of training each: ``python train.py variant=none schedule=constant
model=dcgan|mlp stop.max_hours=H``. A run that has finished is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean

import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track

import gan_lightning as gl
from benchmarks.common import finished, hardware, positive, report_arguments, spread, write_report
from gan_lightning.extractors.digits import Digits
from gan_lightning.figures.images import make_image_grid

Setting = tuple[str, int]
"""The generator's output and the discriminator's hidden layers."""

OUTPUTS = {"tanh": "[-1,1]", "linear": "null"}
DEPTHS = (3, 4)
MODELS = ("dcgan", "mlp")
TIMED_FIGURES = {"val/fid": 0, "val/confidence": 3, "val/class_entropy": 3}
"""Metrics of the models, with the digits that are shown."""

READ = 1000
"""Samples that the classifier reads."""

TILE = 16
"""Samples of a tile in the figure, as in the report."""

MANY = 1_000_000
"""Iterations that no run reaches in its minutes."""


@dataclass(frozen=True)
class Trained:
    """A run.

    Args:
        directory: where it lies.
        overrides: what is typed for it.
    """

    directory: Path
    overrides: tuple[str, ...]

    def train(self) -> None:
        """Train it from nothing, unless it has finished."""
        if not finished(self.directory):
            gl.train([*self.overrides, "logger=csv", f"hydra.run.dir='{self.directory}'"])

    @cached_property
    def run(self) -> gl.Run:
        return gl.Run(self.directory)

    @cached_property
    def samples(self) -> torch.Tensor:
        """Samples, (READ, 1, 28, 28), clamped to what can be shown: a linear output may leave [-1, 1]."""
        return self.run.gan.sample(READ, seed=0).clamp(-1, 1)

    def final(self, key: str) -> float:
        """Return a metric at the end of the run."""
        return float(self.run.result["final"][key])

    def read_as(self, digit: int) -> float:
        """Return the share of the samples that the classifier reads as the digit."""
        logits = Digits()(self.samples).logits
        assert logits is not None
        return (logits.argmax(1) == digit).float().mean().item()


def single(runs: Path, digit: int, output: str, depth: int, iterations: int) -> Trained:
    """Return the run of one digit."""
    return Trained(
        runs / f"digit{digit}_{output}_{depth}",
        (
            *("experiment=mnist_mlp_digit2", "seed=10", f"data.classes=[{digit}]"),
            *(f"model.generator.value_range={OUTPUTS[output]}", f"model.discriminator.depth={depth}"),
            *(f"max_iterations={iterations}", f"evaluate_every={iterations}"),
        ),
    )


def timed(runs: Path, model: str, seed: int, minutes: float) -> Trained:
    """Return the run of a model for so many minutes."""
    return Trained(
        runs / f"{model}_s{seed}",
        (
            *(f"model={model}", "variant=none", "schedule=constant", f"seed={seed}"),
            *(f"max_iterations={MANY}", f"evaluate_every={MANY}", f"stop.max_hours={minutes / 60}"),
        ),
    )


def single_row(setting: Setting, runs: Sequence[Trained]) -> str:
    """Return the row of a setting: FID and the share that is read as the digit, by digit and over all."""
    fids, shares = [run.final("val/fid") for run in runs], [run.read_as(digit) for digit, run in enumerate(runs)]
    cells = [f"{fid:.0f} / {share:.2f}" for fid, share in zip(fids, shares, strict=True)]
    return f"| {named(setting)} | {' | '.join(cells)} | {mean(fids):.0f} / {mean(shares):.2f} |"


def timed_row(model: str, runs: Sequence[Trained]) -> str:
    """Return the row of a model: median and range over the seeds."""
    cells = [spread([float(run.run.result["iterations"]) for run in runs], 0)]
    cells += [spread([run.final(key) for run in runs], digits) for key, digits in TIMED_FIGURES.items()]
    return f"| `{model}` | {' | '.join(cells)} |"


def named(setting: Setting) -> str:
    """Return a setting in words."""
    output, depth = setting
    return f"{output}, {depth} layers"


def figure(singles: Mapping[Setting, Sequence[Trained]], models: Mapping[str, Sequence[Trained]]) -> Figure:
    """Return a figure: a tile of 16 samples for each digit and setting, and one for each run of the models below."""
    rows = {named(setting): runs for setting, runs in singles.items()}
    rows["the same minutes"] = [run for runs in models.values() for run in runs]
    columns = max(map(len, rows.values()))
    drawn = Figure(figsize=(1.3 * columns, 1.5 * len(rows)), layout="constrained")
    for panels, runs in zip(drawn.subplots(len(rows), columns, squeeze=False), rows.values(), strict=True):
        for panel in panels:
            panel.set_axis_off()
        for panel, run in zip(panels, runs, strict=False):
            panel.imshow(make_image_grid(run.samples[:TILE], least_width_px=1))
            panel.set_title(run.directory.name, fontsize=7)
    return drawn


def page(singles: Mapping[Setting, Sequence[Trained]], models: Mapping[str, Sequence[Trained]], minutes: float) -> str:
    """Return both tables as Markdown."""
    digits = range(len(next(iter(singles.values()))))
    lines = [
        "# The MNIST figures of the course report",
        "",
        "`python -m benchmarks.mnist_report`.",
        "",
        "## One digit at a time",
        "",
        "`experiment=mnist_mlp_digit2`: a generator of 2 layers of 50, uniform noise, a discriminator of 3 or 4 layers "
        "of 50, an output through tanh or a linear one. Seed 10. FID of 9 000 fakes against the training images of the "
        "digit, in the features of the package's digit classifier, and the share of 1 000 samples that it reads as the "
        "digit; samples of a linear output are clamped to [-1, 1] for the latter.",
        "",
        f"| output, discriminator | {' | '.join(map(str, digits))} | mean |",
        "| --- |" + " ---: |" * (len(digits) + 1),
        *(single_row(setting, runs) for setting, runs in singles.items()),
        "",
        "## DCGAN beside perceptrons",
        "",
        f"All ten digits, {minutes:g} minutes of training each, one after another: `variant=none schedule=constant`. "
        "Median and range over the seeds. FID against the 9 000 training images.",
        "",
        "| model | iterations | FID | confidence | class entropy |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(timed_row(model, runs) for model, runs in models.items()),
        "",
        "![Sixteen samples of each run](mnist.png)",
        "",
        f"Machine: {', '.join(hardware().splitlines())}.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing and write the tables and the figure."""
    parser = report_arguments(
        __doc__, seeds=3, quick="two digits, 20 iterations; two seconds of each model", runs="outputs/mnist_report"
    )
    parser.add_argument("--iterations", type=positive, default=2000, help="of a run of one digit (default: 2000)")
    parser.add_argument("--minutes", type=float, default=3.0, help="of training of each model (default: 3)")
    given = parser.parse_args(arguments)
    digits, iterations, minutes = (2, 20, 1 / 30) if given.quick else (10, given.iterations, given.minutes)
    runs = given.runs.absolute()
    singles = {
        (output, depth): [single(runs, digit, output, depth, iterations) for digit in range(digits)]
        for output in OUTPUTS
        for depth in DEPTHS
    }
    seeds = range(given.first, given.first + (1 if given.quick else given.seeds))
    models = {model: [timed(runs, model, seed, minutes) for seed in seeds] for model in MODELS}
    everything = [run for some in (*singles.values(), *models.values()) for run in some]
    if given.no_train and (missing := [run.directory for run in everything if not finished(run.directory)]):
        parser.error(f"there is no finished run in {missing[0]}: leave --no-train out")
    for run in track(everything, "runs", console=Console(stderr=True)):
        run.train()
    write_report(given.results, "mnist", page(singles, models, minutes), figure(singles, models))


if __name__ == "__main__":
    main()
