"""The zoo's table and picture, from the directories of finished runs."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from gan_lightning.evaluation.protocol import describe, require_same_protocol
from gan_lightning.figures.images import make_image_grid
from gan_lightning.gan import GAN
from gan_lightning.priors import ClassConditional
from gan_lightning.runs.checkpoints import LoadedRun, load

COLUMNS, ROWS = 10, 3
"""Of the samples in the picture, for each experiment."""

SAMPLES = COLUMNS * ROWS

GREY_LEVELS = 24
"""Of the picture: hardly fewer are seen, and the file is small."""


class Protocol(NamedTuple):
    """What all runs have in common."""

    images: int
    seeds: list[int]
    overrides: tuple[str, ...]


class Row:
    """An experiment: its runs, one for each seed.

    Args:
        experiment: its name.
        directories: of its finished runs, the lowest seed first.
        results: their result.json.
    """

    def __init__(self, experiment: str, directories: Sequence[Path], results: Sequence[Mapping[str, Any]]) -> None:
        self.experiment, self.directories, self.results = experiment, directories, results

    def values(self, key: str) -> list[float]:
        """Return a metric at the end of each run that measured it; nan where it was not finite."""
        finals = [result["final"] for result in self.results]
        return [math.nan if final[key] is None else final[key] for final in finals if key in final]

    @property
    def runs(self) -> list[tuple[Path, Mapping[str, Any]]]:
        """Each directory with its result."""
        return list(zip(self.directories, self.results, strict=True))

    @property
    def order(self) -> tuple[bool, float, str]:
        """By FID, what diverged last."""
        fid = mean(self.values("val/fid"))
        return math.isnan(fid), fid, self.experiment

    @cached_property
    def trained(self) -> LoadedRun:
        """The game of the first seed, on the CPU."""
        return load(self.directories[0] / "checkpoints" / "last.ckpt", "cpu")

    @property
    def precision(self) -> str:
        """What it was played in."""
        checkpoint = torch.load(
            self.directories[0] / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True
        )
        return str(checkpoint["precision"])

    def samples(self) -> Tensor:
        """Return the first samples of the first seed, (SAMPLES, 1, height, width); by class where it has."""
        gan = self.trained.gan
        classes = None
        if isinstance(gan.prior, ClassConditional) and gan.prior.num_classes <= COLUMNS:
            classes = [number % gan.prior.num_classes for number in range(SAMPLES)]
        return gan.sample(SAMPLES, classes, seed=gan.seed).cpu()

    def cells(self) -> list[str]:
        """Return the cells of its row."""
        accuracies = [
            f"{spread(values, 3)} ({kind})"
            for kind in ("label", "code")
            if (values := self.values(f"val/{kind}_accuracy"))
        ]
        seconds = [result["seconds"] for result in self.results]
        gan: GAN = self.trained.gan
        return [
            f"`{self.experiment}`",
            spread(self.values("val/fid"), 1),
            spread(self.values("val/precision"), 2),
            spread(self.values("val/recall"), 2),
            spread(self.values("val/confidence"), 3),
            spread(self.values("val/class_entropy"), 3),
            ", ".join(accuracies),
            " or ".join(dict.fromkeys(str(result["iterations"]) for result in self.results)),
            spread(seconds, 0),
            f"{millions(gan.generator)} / {millions(gan.discriminator)}",
            str(len(self.results)),
        ]


HEAD = (
    "experiment",
    "FID",
    "precision",
    "recall",
    "confidence",
    "class entropy",
    "class accuracy",
    "updates",
    "seconds",
    "parameters G / D (M)",
    "seeds",
)


def spread(values: Sequence[float], digits: int) -> str:
    """Return mean and sample standard deviation, ``1.02 ± 0.03``; values that are not finite are left out."""
    known = [value for value in values if math.isfinite(value)]
    lost = f"diverged in {len(values) - len(known)} of {len(values)}"
    if not known:
        return lost
    shown = f"{mean(known):.{digits}f}" + (f" ± {stdev(known):.{digits}f}" if len(known) > 1 else "")
    return shown if len(known) == len(values) else f"{shown} ({lost})"


def millions(network: nn.Module) -> str:
    """Return how many millions of parameters are trained, ``1.02``."""
    return f"{sum(weight.numel() for weight in network.parameters() if weight.requires_grad) / 1e6:.2f}"


def table_of(rows: Sequence[Row], problems: Mapping[str, str], protocol: Protocol, notes: str) -> str:
    """Return the table with its protocol above, and below it what could not stand in it and the notes.

    Raises:
        MixedProtocolsError: the runs were measured in different ways.
    """
    require_same_protocol({str(path): result.get("protocol") for row in rows for path, result in row.runs}, "val/fid")
    lines = [
        "# The zoo: every experiment on handwritten digits",
        "",
        *heading(rows, protocol),
        "",
        line(HEAD),
        line(["---"] + ["---:"] * (len(HEAD) - 1)),
        *(line(row.cells()) for row in rows),
        "",
    ]
    if problems:
        lines += ["Not in the table:", "", *(f"- {name}: {problem}" for name, problem in problems.items()), ""]
    if notes.strip():
        lines += [notes.strip(), ""]
    lines += [
        f"![{SAMPLES} samples of each experiment](zoo.png)",
        "",
        f"The first {SAMPLES} samples of each, of the lowest seed, in the order of the table. Of generators with at "
        f"most {COLUMNS} classes, a class in each column.",
    ]
    return "\n".join(lines) + "\n"


def heading(rows: Sequence[Row], protocol: Protocol) -> list[str]:
    """Return the protocol in sentences."""
    machines = {path: (path / "hardware.txt").read_text(encoding="utf-8") for row in rows for path in row.directories}
    changed = f", with {' '.join(protocol.overrides)}" if protocol.overrides else ""
    return [
        f"Every file of `conf/experiment/` that the digit metrics evaluate, as it stands there{changed}, but for the "
        f"budget: {protocol.images} real images that the discriminator sees, the same for all and not what each was "
        "published with, in as many updates of the generator as the batch and the discriminator's steps make of them. "
        f"Mean ± standard deviation over seeds {', '.join(map(str, protocol.seeds))}; every figure is that of the end "
        "of a run.",
        "",
        # All runs' by the FID's protocol, which is the same.
        f"- FID: of {describe(rows[0].results[0]['protocol'])[0]}, fakes of the averaged generator, in the features "
        "of the digit classifier that comes with the package. It is not the Inception FID.",
        "- Precision, recall: see `conf/metrics/precision_recall.yaml`, in the same features.",
        "- Confidence, class entropy: see `conf/metrics/digits.yaml`. Class accuracy: the share of fakes that the same "
        "classifier reads as the digit of their label (label), or as the digit that their learned code stands for "
        "(code).",
        "- Seconds: of a whole run, with its one evaluation. Parameters: those that are trained.",
        f"- Precision: {grouped({row.experiment: row.precision for row in rows})}.",
        *(f"- Hardware: {'; '.join(machine.splitlines())}." for machine in dict.fromkeys(machines.values())),
    ]


def grouped(values: Mapping[str, str]) -> str:
    """Return a value that all have in common; where they differ, each value with the names of those that have it."""
    kinds = dict.fromkeys(values.values())
    if len(kinds) == 1:
        return next(iter(kinds))
    named = {kind: ", ".join(name for name, value in values.items() if value == kind) for kind in kinds}
    return "; ".join(f"{kind} ({names})" for kind, names in named.items())


def line(cells: Iterable[str]) -> str:
    """Return a line of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


def save_picture(rows: Mapping[str, Tensor], path: Path) -> None:
    """Write a row of samples (count, 1, height, width) in [-1, 1] for each name, which stands at its left."""
    figure = Figure(figsize=(7.0, 1.6 * len(rows)), dpi=80)
    for axes, (name, images) in zip(figure.subplots(len(rows), 1, squeeze=False)[:, 0], rows.items(), strict=True):
        axes.imshow(make_image_grid(images, columns=COLUMNS))
        axes.set_axis_off()
        axes.text(-0.01, 0.5, name, transform=axes.transAxes, ha="right", va="center")
    figure.subplots_adjust(left=0.2, right=1.0, bottom=0.0, top=1.0, hspace=0.0)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    Image.open(drawn).convert("L").quantize(GREY_LEVELS).save(path, optimize=True)
