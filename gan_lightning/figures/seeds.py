"""Figures of many seeds: all densities in one picture, or small pictures of the samples of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from gan_lightning.figures.density import DATA, DOTS, GENERATED
from gan_lightning.figures.images import Pixels
from gan_lightning.figures.theory import Array, DensityGrid

CELLS = 256
SMOOTHED_CELLS = 2.0


def seeds_figure(
    seeds: Sequence[int], samples: Sequence[Array], real: Array, log_density: Callable[[Tensor], Tensor]
) -> Pixels:
    """Return the picture of all games.

    Args:
        seeds: of the games.
        samples: of each game's averaged generator, (count, 1 or 2).
        real: samples of the data, (count, 1 or 2).
        log_density: log p of the data at points (n, 1 or 2).
    """
    figure = line_figure(samples, real, log_density) if real.shape[1] == 1 else plane_figure(seeds, samples, real)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def line_figure(samples: Sequence[Array], real: Array, log_density: Callable[[Tensor], Tensor]) -> Figure:
    """Return the densities of all generators over that of the data."""
    figure = Figure(figsize=(7, 4), dpi=120)
    panel = figure.subplots()
    low, high = real.min() - 2 * real.std(), real.max() + 2 * real.std()
    grid = DensityGrid((float(low),), (float(high),), cells=CELLS)
    (x,) = grid.axes
    density = log_density(torch.from_numpy(x)[:, None].double()).exp().numpy()
    panel.fill_between(x, density, color=DATA, alpha=0.25, linewidth=0, label="data")
    for index, points in enumerate(samples):
        mass = grid.sample_masses(points, SMOOTHED_CELLS) / grid.cell_volume
        label = f"generated, {len(samples)} seeds" if index == 0 else None
        panel.plot(x, mass, color=GENERATED, alpha=max(0.15, min(1.0, 6 / len(samples))), linewidth=1, label=label)
    panel.set(xlabel="x", ylabel="density", xlim=(x[0], x[-1]), ylim=(0, 2.5 * density.max()))
    panel.legend(frameon=False)
    figure.tight_layout()
    return figure


def plane_figure(seeds: Sequence[int], samples: Sequence[Array], real: Array) -> Figure:
    """Return a small picture of each game's samples over the data."""
    columns = math.ceil(math.sqrt(len(seeds)))
    rows = math.ceil(len(seeds) / columns)
    figure = Figure(figsize=(1.9 * columns, 2.0 * rows), dpi=100)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flatten()
    reach = 1.25 * float(np.abs(real).max())
    for panel in panels:
        panel.set_axis_off()
    for panel, seed, points in zip(panels, seeds, samples, strict=False):
        panel.plot(*real.T, color=DATA, markersize=3, alpha=0.3, **DOTS)
        panel.plot(*points.T, color=GENERATED, markersize=1.2, alpha=0.6, **DOTS)
        panel.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        panel.set_title(f"seed {seed}", fontsize=8)
    figure.tight_layout(pad=0.4)
    return figure
