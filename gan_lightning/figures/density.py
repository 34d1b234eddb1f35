"""Figures of a GAN on one- or two-dimensional data: both densities, the discriminator and its optimum."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from gan_lightning.figures.curves import Curves
from gan_lightning.figures.images import Pixels
from gan_lightning.figures.scene import Scene, Snapshot
from gan_lightning.figures.theory import Array, blurred, least_value, optimal_discriminator

# Okabe and Ito's palette, distinct in any colour vision.
DATA, GENERATED, OPTIMAL = "#0072B2", "#D55E00", "#009E73"
COLOURS = LinearSegmentedColormap.from_list("D", [GENERATED, "#FFFFFF", DATA], N=255).with_extremes(bad="#DDDDDD")
LEFT: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.01, 0.99)}
RIGHT: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.01, 0.99)}
ABOVE: dict[str, Any] = {"ncols": 2, "frameon": False, "borderaxespad": 0, "handlelength": 1.5}
CURVES_INCHES = 1.4
"""Height of the panel of curves."""
DOTS: dict[str, Any] = {"linestyle": "none", "marker": "o", "markeredgewidth": 0}


class DensityFigure(ABC):
    """Draws frames of one scene on the same axes, above curves of all frames.

    The background is drawn once and kept as pixels: axes and labels take ten times as long as what moves. Frames
    without scores are drawn without the discriminator, but with its optimum.

    Args:
        scene: what all frames share.
        frames: those that will be drawn; they set the axes' ranges.
        dpi: pixels an inch.
    """

    def __init__(self, scene: Scene, frames: Sequence[Snapshot], dpi: int) -> None:
        self.scene = scene
        self.score_range = score_range(frames) if scene.critic else (0.0, 1.0)
        self.has_scores = all(frame.scores is not None for frame in frames)
        self.figure = Figure(dpi=dpi)
        canvas = FigureCanvasAgg(self.figure)
        panels = self.lay_out(frames)
        width, height = self.figure.get_size_inches()
        left, right = max(self.figure.subplotpars.left, 0.7 / width), 1 - 0.65 / width  # room for the scales
        place = left, 0.72 / height, right - left, CURVES_INCHES / height
        least, legend = (least_name(scene), least_value(scene.smoothing)), {**ABOVE, **LEFT, "ncols": 4}
        self.curves = Curves(self.figure.add_axes(place), frames, least, OPTIMAL, legend)
        self.moving = [*panels, *self.curves.moving()]
        for artist in self.moving:
            artist.set_animated(True)
        canvas.draw()
        self.canvas, self.still = canvas, canvas.copy_from_bbox(self.figure.bbox)

    @abstractmethod
    def lay_out(self, frames: Sequence[Snapshot]) -> list[Artist]:
        """Draw the whole figure, and return the artists that move, from back to front."""

    @abstractmethod
    def update(self, frame: Snapshot) -> None:
        """Set all artists that move to `frame`."""

    def draw(self, frame: Snapshot) -> Pixels:
        """Return the picture of `frame`."""
        self.update(frame)
        self.curves.update(frame)
        self.canvas.restore_region(self.still)
        for artist in self.moving:
            self.figure.draw_artist(artist)
        return np.asarray(self.canvas.buffer_rgba())[..., :3].copy()

    def discriminator_values(self, frame: Snapshot) -> Array:
        """Return the discriminator at the scene's points: D, or a critic's scores."""
        assert frame.scores is not None
        return frame.scores if self.scene.critic else 1 / (1 + np.exp(-frame.scores.clip(-80, 80)))


class LineFigure(DensityFigure):
    """One dimension: the densities of data and generator, and below them D and D*."""

    bins = 128

    def lay_out(self, frames: Sequence[Snapshot]) -> list[Artist]:
        self.figure.set_size_inches(7.0, 7.2)
        heights = [3, 2] if self.has_scores or not self.scene.critic else [1]
        panels = self.figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        self.figure.subplots_adjust(left=0.1, right=0.98, bottom=0.39, top=0.95, hspace=0.22)
        self.heading = self.figure.text(0.1, 0.957, "", fontsize=12)
        self.values = self.figure.text(0.54, 0.012, "", ha="center")
        panels[-1].set(xlabel="x")
        moving = [self.heading, self.values, *self.lay_out_densities(panels[0], frames)]
        return moving + [artist for panel in panels[1:] for artist in self.lay_out_discriminator(panel)]

    def lay_out_densities(self, panel: Axes, frames: Sequence[Snapshot]) -> list[Artist]:
        scene, (x,) = self.scene, self.scene.lattice.axes
        low, high = scene.lattice.low[0], scene.lattice.high[0]
        density = scene.density / scene.lattice.cell_volume
        panel.fill_between(x, density, color=DATA, alpha=0.25, linewidth=0)
        panel.plot(x, density, color=DATA, label=f"data p(x), {moments(x, scene.density)}")
        self.edges = np.linspace(low, high, self.bins + 1)
        self.histogram = panel.stairs(np.zeros(self.bins), self.edges, color=GENERATED, alpha=0.3, fill=True)
        (self.generated,) = panel.plot(x, np.zeros_like(x), color=GENERATED, label=generated_label(scene.real))
        peak = max(float(scene.estimate(frame.samples).max()) for frame in frames) / scene.lattice.cell_volume
        # A collapsed generator makes a needle; it may leave the picture rather than flatten everything else.
        top = 1.08 * max(density.max(), min(peak, 2 * density.max()))
        panel.set(ylabel="density", xlim=(low, high), ylim=(0, top))
        self.legend = panel.legend(**ABOVE, **RIGHT)
        return [self.histogram, self.generated, self.legend]

    def lay_out_discriminator(self, panel: Axes) -> list[Artist]:
        scene, (low, high) = self.scene, self.score_range
        label = "critic's score" if scene.critic else "D(x)"
        moving: list[Artist] = []
        if self.has_scores:
            zero = np.zeros(scene.points.cells)
            (self.discriminator,) = panel.plot(*scene.points.axes, zero, color="black", label=label)
            moving.append(self.discriminator)
        if not scene.critic:
            panel.axhline(0.5, color="black", linestyle="--", linewidth=0.8)
            zero = np.zeros(scene.lattice.cells)
            (self.optimum,) = panel.plot(*scene.lattice.axes, zero, color=OPTIMAL, label=optimum_label(scene))
            moving.insert(0, self.optimum)
        margin = 0.05 * (high - low)
        panel.set(ylabel=label, ylim=(low - margin, high + margin))
        panel.legend(**ABOVE, **LEFT)
        return moving

    def update(self, frame: Snapshot) -> None:
        scene = self.scene
        estimate = scene.estimate(frame.samples)
        counts, _ = np.histogram(frame.samples, self.edges)
        self.histogram.set_data(counts / (len(frame.samples) * (self.edges[1] - self.edges[0])))
        self.generated.set_ydata(estimate / scene.lattice.cell_volume)
        if self.has_scores:
            self.discriminator.set_ydata(self.discriminator_values(frame))
        if not scene.critic:
            self.optimum.set_ydata(optimal_discriminator(scene.density, estimate, scene.smoothing))
        self.legend.get_texts()[1].set_text(generated_label(frame.samples))
        self.heading.set_text(f"iteration {frame.iteration}")
        self.values.set_text(values(scene, frame))


class PlaneFigure(DensityFigure):
    """Two dimensions: samples, and maps of D and D*."""

    points_shown = 2500

    def lay_out(self, frames: Sequence[Snapshot]) -> list[Artist]:
        scene, lattice = self.scene, self.scene.lattice
        # Modes narrower than a cell of the map of D could not be seen. For the map of D* both densities are blurred
        # alike, by one such cell, which leaves D* at 1/2 where they are equal.
        self.blur_cells = lattice.cells / scene.points.cells
        self.blurred_density = blurred(scene.density, self.blur_cells)
        count = 1 + self.has_scores + (not scene.critic)
        self.figure.set_size_inches(4.15 * count + 0.5, 6.5)
        panels = self.figure.subplots(1, count, sharex=True, sharey=True, squeeze=False)[0]
        self.figure.subplots_adjust(left=0.13 / count, right=1 - 0.11 / count, bottom=0.39, top=0.95, wspace=0.05)
        panels[0].set(xlim=(lattice.low[0], lattice.high[0]), ylim=(lattice.low[1], lattice.high[1]))
        for panel in panels:
            panel.set_aspect("equal")
            panel.locator_params(nbins=5)
        maps: list[AxesImage] = []
        if self.has_scores:
            panels[1].set_title("critic's score" if scene.critic else "D(x)")
            self.discriminator = self.map(panels[1], "bilinear")
            maps.append(self.discriminator)
        if not scene.critic:
            panels[-1].set_title(f"{optimum_label(scene)}, blurred; grey: neither")
            self.optimum = self.map(panels[-1], "nearest")
            maps.append(self.optimum)
        if maps:
            self.figure.colorbar(maps[0], ax=panels, fraction=0.06 / count, pad=0.04 / count)
        self.values = self.figure.text(0.5, 0.012, "", ha="center")
        self.heading = panels[0].text(0, 1.02, "", transform=panels[0].transAxes, fontsize=12)
        return [self.lay_out_samples(panels[0]), *maps, self.heading, self.values]

    def lay_out_samples(self, panel: Axes) -> Artist:
        panel.plot(*self.scene.real[: self.points_shown].T, color=DATA, markersize=4, alpha=0.3, **DOTS)
        (self.generated,) = panel.plot([], [], color=GENERATED, markersize=1.8, alpha=0.7, **DOTS)
        entries = {"data": DATA, "generated": GENERATED}
        handles = [Line2D([], [], color=colour, label=label, **DOTS) for label, colour in entries.items()]
        panel.legend(handles=handles, **ABOVE, **RIGHT)
        return self.generated

    def map(self, panel: Axes, interpolation: str) -> AxesImage:
        (left, bottom), (right, top) = self.scene.lattice.low, self.scene.lattice.high
        return panel.imshow(
            np.zeros(self.scene.points.shape),
            extent=(left, right, bottom, top),
            origin="lower",
            interpolation=interpolation,
            # A critic's scores have no middle that means anything.
            cmap=colormaps["cividis"] if self.scene.critic else COLOURS,
            norm=Normalize(*self.score_range),
        )

    def update(self, frame: Snapshot) -> None:
        scene = self.scene
        self.generated.set_data(*frame.samples[: self.points_shown].T)
        if self.has_scores:
            self.discriminator.set_data(self.discriminator_values(frame).reshape(scene.points.shape).T)
        if not scene.critic:
            fake = scene.lattice.sample_masses(frame.samples, self.blur_cells)
            self.optimum.set_data(optimal_discriminator(self.blurred_density, fake, scene.smoothing).T)
        self.heading.set_text(f"iteration {frame.iteration}")
        self.values.set_text(values(scene, frame))


def density_figure(scene: Scene, frames: Sequence[Snapshot], dpi: int) -> DensityFigure:
    """Return the figure for the scene's number of dimensions."""
    return (LineFigure if scene.real.shape[1] == 1 else PlaneFigure)(scene, frames, dpi)


def score_range(frames: Sequence[Snapshot]) -> tuple[float, float]:
    """Return the range of a critic's scores over all `frames`, without the most extreme hundredth."""
    scores = np.concatenate([[], *(frame.scores for frame in frames if frame.scores is not None)])
    finite = scores[np.isfinite(scores)]  # a diverged run is drawn too
    low, high = np.quantile(finite, [0.005, 0.995]) if len(finite) else (0.0, 0.0)
    return float(low), float(max(high, low + 1e-6))


def moments(values: Array, weights: Array | None = None) -> str:
    """Return mean and standard deviation of `values`, (count,), as text."""
    mean = np.average(values, weights=weights)
    std = np.sqrt(np.average((values - mean) ** 2, weights=weights))
    return f"{mean:.2f} ± {std:.2f}".replace("-", "\N{MINUS SIGN}")


def optimum_label(scene: Scene) -> str:
    """Return the formula of the best discriminator, with the share of data that is labelled real."""
    return f"D*(x) = {1 - scene.smoothing:g} p / (p + q)" if scene.smoothing else "D*(x) = p / (p + q)"


def least_name(scene: Scene) -> str:
    """Return the name of the least value of C(G)."""
    return "least C(G)" if scene.smoothing else "\N{MINUS SIGN}log 4"


def generated_label(samples: Array) -> str:
    """Return the generator's entry in the legend."""
    return f"generated q(x), {moments(samples[:, 0])}"


def values(scene: Scene, frame: Snapshot) -> str:
    """Return V(D, G), C(G), C(data) and the minimum as text."""
    named = {"V(D, G)": frame.game_value, "C(G)": frame.optimal_value, "C(data)": scene.data_value}
    named[least_name(scene)] = least_value(scene.smoothing)
    shown = [f"{name} = {round(value, 3) + 0.0:.3f}" for name, value in named.items() if value is not None]
    return "   ".join(shown).replace("-", "\N{MINUS SIGN}")
