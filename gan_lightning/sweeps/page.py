"""A report as one HTML page that needs nothing else: tables that sort, curves, samples over training."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from gan_lightning.sweeps.collect import RunRecord, Table, differing
from gan_lightning.sweeps.words import command, interval, sentence, spread, why

ASSETS = Path(__file__).parent / "assets"
MOST_PICTURES = 240
"""Pictures on a page, over all groups: some 10 kB each."""

STAGES = 10
"""Positions of the slider."""


def page(title: str, tables: Sequence[Table], without: Sequence[RunRecord]) -> str:
    """Return the page."""
    parts = [section(table, number) for number, table in enumerate(tables)]
    if without:
        rows = "".join(f"<li><code>{text(run.directory.name)}</code> {text(why(run))}</li>" for run in without)
        parts.append(f"<h2>Runs without a number</h2><ul>{rows}</ul>")
    style, script = ((ASSETS / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{style}</style></head><body><h1>{text(title)}</h1>"
        f"{''.join(parts)}<script>{script}</script></body></html>\n"
    )


def text(value: object) -> str:
    """Return `value` as HTML shows it."""
    return html.escape(str(value))


def section(table: Table, number: int) -> str:
    """Return the part of a page about a table."""
    better = "smaller is better" if table.mode == "min" else "larger is better"
    return (
        f"<section><h2>{text(table.monitor)}, {better}</h2>"
        f'<p class="verdict">{text(sentence(table))}</p><p class="small">{text("; ".join(table.protocol))}</p>'
        f"{rows(table)}<h3>Over training</h3>{curves(table)}{over_number(table)}"
        f"{samples(table, number)}{differences(table)}{environment(table)}</section>"
    )


def rows(table: Table) -> str:
    """Return the table of groups, whose columns sort."""
    head = ("setting", "n", "best: mean ± std", "95 % interval", "last: mean ± std", "images/s", "health", "command")
    lines = []
    for group in table.groups:
        best, last = group.summary(), group.summary("last")
        speeds = [run.result["images"] / run.result["seconds"] for run in group.runs if run.result.get("seconds")]
        records = [record for run in group.runs for record in run.result.get("health", [])]
        symptoms = sorted({record["symptom"].replace("_", " ") for record in records})
        cells: list[tuple[Any, str]] = [
            (group.name, f"<code>{text(group.name)}</code>"),
            (best.n, str(best.n)),
            (best.mean, text(spread(best))),
            (best.interval[0] if best.interval else best.mean, text(interval(best))),
            (last.mean, text(spread(last))),
            (np.mean(speeds) if speeds else 0, f"{np.mean(speeds):.0f}" if speeds else "–"),
            (len(symptoms), text(", ".join(symptoms) or "–")),
            (group.name, f"<details><summary>show</summary><code>{text(command(group))}</code></details>"),
        ]
        lines.append("<tr>" + "".join(f'<td data-value="{text(key)}">{shown}</td>' for key, shown in cells) + "</tr>")
    buttons = "".join(f'<th><button type="button">{text(name)}</button></th>' for name in head)
    return f'<div class="wide"><table><thead><tr>{buttons}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def svg(figure: Figure) -> str:
    """Return a figure as SVG whose text and axes have the colour of the page's text."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, bbox_inches="tight")
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    return f'<div class="figure">{drawn.replace("#000000", "currentColor")}</div>'


def axes(xlabel: str, ylabel: str, values: Iterable[float]) -> tuple[Figure, Any]:
    """Return a figure with axes, logarithmic in y where all values are positive and span two orders of magnitude."""
    figure = Figure(figsize=(7, 3.6))
    drawn = figure.subplots()
    known = [value for value in values if np.isfinite(value)]
    if known and min(known) > 0 and max(known) > 100 * min(known):
        drawn.set_yscale("log")
    drawn.set(xlabel=xlabel, ylabel=ylabel)
    drawn.grid(alpha=0.2)
    return figure, drawn


def curves(table: Table) -> str:
    """Return the metric over the iterations: the mean over seeds, and the band from the smallest to the largest."""
    found = {group.name: [run.curve() for run in group.runs] for group in table.groups}
    values = [y for runs in found.values() for run in runs for _, y in run]
    if not values:
        return "<p>No run has a curve.</p>"
    figure, drawn = axes("iteration", table.monitor, values)
    for name, runs in found.items():
        points: dict[float, list[float]] = {}
        for run in runs:
            for x, y in run:
                points.setdefault(x, []).append(y)
        at = sorted(points)
        (line,) = drawn.plot(at, [np.mean(points[x]) for x in at], label=name)
        low, high = ([bound(points[x]) for x in at] for bound in (min, max))
        drawn.fill_between(at, low, high, color=line.get_color(), alpha=0.2)
    if len(found) <= 20:
        drawn.legend(fontsize=7, framealpha=0)
    return svg(figure)


def over_number(table: Table) -> str:
    """Return the metric over each swept number."""
    parts = []
    typed = [group.runs[0].typed for group in table.groups]
    for key in differing(typed):
        points = [(as_number(own.get(key)), group) for own, group in zip(typed, table.groups, strict=True)]
        known = sorted(((x, group) for x, group in points if x is not None), key=lambda point: point[0])
        if key == "seed" or len(known) < 2 or len({x for x, _ in known}) < 2:
            continue
        figure, drawn = axes(key, table.monitor, [value for _, group in known for value in group.values()])
        for x, group in known:
            drawn.plot([x] * len(group.values()), group.values(), "o", color="C0", alpha=0.4)
        places = sorted({x for x, _ in known})
        means = [np.mean([value for x, group in known if x == place for value in group.values()]) for place in places]
        drawn.plot(places, means, "-", color="C0")
        if places[0] > 0 and places[-1] >= 4 * places[0]:
            drawn.set_xscale("log")
        parts.append(f"<h3>Over {text(key)}</h3>{svg(figure)}")
    return "".join(parts)


def as_number(value: str | None) -> float | None:
    """Return a typed value as a number; None where it is none."""
    try:
        return float(value) if value is not None else None
    except ValueError:
        return None


def samples(table: Table, number: int) -> str:
    """Return the samples of each group's first run side by side, under a slider through training."""
    stages = max(2, min(STAGES, MOST_PICTURES // len(table.groups)))
    found = [(group, pictures(group.runs[0], stages)) for group in table.groups]
    shown = [(group, frames) for group, frames in found if frames]
    if not shown:
        return ""
    cards = []
    for group, frames in shown:
        images = "".join(f'<img alt="samples" src="{frame}" hidden>' for frame in frames[:-1])
        images += f'<img alt="samples" src="{frames[-1]}">'
        cards.append(f"<figure>{images}<figcaption>{text(group.name)}</figcaption></figure>")
    slider = f'<input type="range" min="0" max="{stages - 1}" value="{stages - 1}" aria-label="share of training">'
    head = f"<h3>Samples</h3><label>from the start to the end of training {slider}</label>"
    return f'<div class="samples" id="samples{number}">{head}<div class="cards">{"".join(cards)}</div></div>'


def pictures(run: RunRecord, stages: int) -> list[str]:
    """Return pictures of a run's samples at even distances through training, as data URLs; none where it has none."""
    files = sorted((run.directory / "samples").glob("iteration_*.png"))
    density = run.directory / "density.png"
    if not files:
        return [thumbnail(density, width=420)] if density.is_file() else []
    chosen = np.linspace(0, len(files) - 1, min(stages, len(files))).round().astype(int)
    return [thumbnail(files[index]) for index in dict.fromkeys(chosen.tolist())]


def thumbnail(path: Path, width: int = 220) -> str:
    """Return an image file, scaled down to `width` pixels, as a data URL."""
    buffer = io.BytesIO()
    with Image.open(path) as image:
        small = image.convert("RGB")
        small.thumbnail((width, 4 * width))
        small.save(buffer, "WEBP", quality=70)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def differences(table: Table) -> str:
    """Return the settings that differ between groups, a row each."""
    settings = [group.runs[0].settings() for group in table.groups]
    keys = differing(settings)
    if not keys:
        return ""
    head = "".join(f"<th>{text(group.name)}</th>" for group in table.groups)
    lines = []
    for key in keys:
        cells = "".join(f"<td>{text(own.get(key, '–'))}</td>" for own in settings)
        lines.append(f"<tr><td><code>{text(key)}</code></td>{cells}</tr>")
    body = f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(lines)}</tbody>"
    body = f'<div class="wide"><table class="plain">{body}</table></div>'
    return f"<details><summary>What differs in the configurations ({len(keys)})</summary>{body}</details>"


def environment(table: Table) -> str:
    """Return the versions and the hardware of the first run."""
    file = table.groups[0].runs[0].directory / "environment.json"
    if not file.is_file():
        return ""
    content = file.read_text(encoding="utf-8")
    return (
        f"<details><summary>Environment of the best setting's first run</summary><pre>{text(content)}</pre></details>"
    )
