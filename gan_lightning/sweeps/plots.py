"""The plots of a report, as SVG: curves, a metric over a swept number, parallel coordinates."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from gan_lightning.sweeps.collect import Table
from gan_lightning.sweeps.labels import differing

MOST_POINTS = 300
"""Of a curve."""

SEEN = "images seen"

FEW = 10
"""Groups up to which each has a colour that is easy to tell from the others."""

Curve = Sequence[tuple[float, float]]


def colours(count: int) -> list[str]:
    """Return a colour for each of `count` groups, the same in all plots of a table."""
    if count <= FEW:
        return [to_hex(f"C{number}") for number in range(count)]
    return [to_hex(colour) for colour in matplotlib.colormaps["turbo"](np.linspace(0.05, 0.95, count))]


def svg(figure: Figure) -> str:
    """Return a figure as SVG whose text and axes have the colour of the page's text."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):  # text stays text: small, and it can be selected
        figure.savefig(buffer, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    return f'<div class="figure">{drawn.replace("#000000", "currentColor")}</div>'


def spans_decades(values: Iterable[float]) -> bool:
    """Return whether values belong on a logarithmic axis: all are positive, and the largest is 20 times the least."""
    known = [value for value in values if np.isfinite(value)]
    return bool(known) and min(known) > 0 and max(known) > 20 * min(known)


def is_geometric(places: Sequence[float]) -> bool:
    """Return whether two or more places, in order, are more evenly spaced by their logarithms than by themselves."""
    if places[0] <= 0:
        return False
    if len(places) == 2:
        return places[1] >= 4 * places[0]
    steps, ratios = np.diff(places), np.diff(np.log(places))
    return bool(np.std(ratios) / np.mean(ratios) < np.std(steps) / np.mean(steps))


def axes(xlabel: str, ylabel: str, values: Iterable[float], size: tuple[float, float] = (7, 3.6)) -> tuple[Figure, Any]:
    """Return a figure with axes, logarithmic in y where `values` belong there."""
    figure = Figure(figsize=size)
    drawn = figure.subplots()
    if spans_decades(values):
        drawn.set_yscale("log")
    if xlabel == SEEN:
        drawn.xaxis.set(major_locator=MaxNLocator(5), major_formatter=EngFormatter(sep=""))  # 50k, 1M
    drawn.set(xlabel=xlabel, ylabel=ylabel)
    drawn.grid(alpha=0.2)
    drawn.spines[["top", "right"]].set_visible(False)
    return figure, drawn


def thinned(curve: Curve) -> Curve:
    """Return at most `MOST_POINTS` points of a curve, the first and the last among them."""
    if len(curve) <= MOST_POINTS:
        return curve
    return [curve[index] for index in np.linspace(0, len(curve) - 1, MOST_POINTS).round().astype(int)]


def lines(curves: Mapping[str, Curve], ylabel: str, size: tuple[float, float] = (4.6, 2.6)) -> str:
    """Return curves over the images seen in one plot, by name."""
    figure, drawn = axes(SEEN, ylabel, [y for curve in curves.values() for _, y in curve], size)
    for name, curve in curves.items():
        points = thinned(curve)
        drawn.plot([x for x, _ in points], [y for _, y in points], label=name, marker="." if len(points) < 25 else "")
    if len(curves) > 1:
        drawn.legend(fontsize=8, framealpha=0)
    return svg(figure)


def over_training(table: Table) -> str:
    """Return the metric over the images seen: the mean over seeds, and the band from the smallest to the largest."""
    found = [[run.curve() for run in group.runs] for group in table.groups]
    values = [y for runs in found for run in runs for _, y in run]
    if not values:
        return "<p>No run has a curve.</p>"
    figure, drawn = axes(SEEN, table.monitor, values)
    for group, runs, colour in zip(table.groups, found, colours(len(found)), strict=True):
        points: dict[float, list[float]] = {}
        for run in runs:
            for x, y in run:
                points.setdefault(x, []).append(y)
        at = [x for x, _ in thinned([(x, 0.0) for x in sorted(points)])]
        marker = "." if len(at) < 25 else ""
        drawn.plot(at, [np.mean(points[x]) for x in at], label=group.name, color=colour, marker=marker)
        if len(runs) > 1:
            low, high = ([bound(points[x]) for x in at] for bound in (min, max))
            drawn.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
    if len(found) <= FEW:
        drawn.legend(fontsize=8, framealpha=0)
    return svg(figure)


def numbers_of(table: Table) -> list[str]:
    """Return the keys but the seed that differ between groups and of which two groups at least have numbers."""
    typed = [group.runs[0].typed for group in table.groups]
    swept = [key for key in differing(typed) if key != "seed"]
    return [key for key in swept if len({x for own in typed if (x := as_number(own.get(key))) is not None}) > 1]


def over_number(table: Table, key: str) -> str:
    """Return the metric over a swept number: a point a run, and a line through the means."""
    points: dict[float, list[float]] = {}
    for group in table.groups:
        if (x := as_number(group.runs[0].typed.get(key))) is not None:
            points.setdefault(x, []).extend(group.values())
    places = sorted(points)
    figure, drawn = axes(key, table.monitor, [value for values in points.values() for value in values])
    for x in places:
        drawn.plot([x] * len(points[x]), points[x], "o", color="C0", alpha=0.4)
    drawn.plot(places, [np.mean(points[x]) for x in places], "-", color="C0")
    if is_geometric(places):
        drawn.set_xscale("log")
    if len(places) <= 6:
        drawn.set_xticks(places, [f"{x:g}" for x in places])
        drawn.minorticks_off()
    return svg(figure)


def as_number(value: str | None) -> float | None:
    """Return a typed value as a number; None where it is none."""
    try:
        return float(value) if value is not None else None
    except ValueError:
        return None


def parallel(table: Table) -> str:
    """Return parallel coordinates: an axis a swept key, the metric on the right, a line a group.

    (Inselberg 1985.) The colour is that of the metric, the best group's line is thick.
    """
    groups = table.groups
    typed = [group.runs[0].typed for group in groups]
    keys = [key for key in differing(typed) if key != "seed"]
    columns = [axis([own.get(key) for own in typed]) for key in keys]
    columns.append(axis([str(group.summary().mean) for group in groups]))
    figure = Figure(figsize=(max(7, 1.5 * len(columns)), 3.6))
    drawn = figure.subplots()
    heights = columns[-1][0]
    better = heights if table.mode == "max" else [1 - height for height in heights]
    for number in reversed(range(len(groups))):  # the best last, over the others
        colour = matplotlib.colormaps["viridis"](0.9 * better[number])
        ys = [column[0][number] for column in columns]
        drawn.plot(range(len(columns)), ys, color=colour, linewidth=2.5 if number == 0 else 1, alpha=0.9)
    for x, (_, ticks) in enumerate(columns):
        drawn.plot([x, x], [0, 1], color="black", linewidth=0.8)
        for height, name in ticks:
            drawn.annotate(name, (x, height), (-4, 0), textcoords="offset points", ha="right", va="center", fontsize=8)
    drawn.set(yticks=[], xlim=(-0.5, len(columns) - 0.9))
    drawn.set_xticks(range(len(columns)), [*keys, table.monitor])
    drawn.tick_params(length=0)
    drawn.spines[:].set_visible(False)
    return svg(figure)


def axis(values: Sequence[str | None]) -> tuple[list[float], list[tuple[float, str]]]:
    """Return the heights of values on an axis of parallel coordinates, from 0 to 1, and its ticks.

    Numbers stand by their size or, where they are geometric, its logarithm; other values evenly, in their order.
    """
    known = [number for value in values if (number := as_number(value)) is not None]
    places = sorted(set(known))
    if len(known) < len(values) or len(places) < 2:
        words = sorted({str(value) for value in values})
        at = {word: index / max(1, len(words) - 1) for index, word in enumerate(words)}
        return [at[str(value)] for value in values], [(height, word) for word, height in at.items()]
    scale = np.log if is_geometric(places) else np.asarray
    low, high = scale(places[0]), scale(places[-1])
    marked = places if len(places) <= 6 else [places[0], places[len(places) // 2], places[-1]]
    ticks = [(float((scale(place) - low) / (high - low)), f"{place:.4g}") for place in marked]
    return [float((scale(number) - low) / (high - low)) for number in known], ticks
