"""The page of a single run: what was reached, curves, samples over training, settings."""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path

from gan_lightning.sweeps.collect import Group, RunRecord, read_run
from gan_lightning.sweeps.page import details, document, text
from gan_lightning.sweeps.pictures import slider
from gan_lightning.sweeps.plots import lines
from gan_lightning.sweeps.words import command, why
from gan_lightning.utils.files import write_text

log = logging.getLogger(__name__)

MOST_PLOTS = 8
"""Metrics that have a plot, in the order of the log, the monitored one first."""


def write_run_page(directory: Path) -> Path | None:
    """Write ``report.html`` of a run; None where it cannot be written, which is logged."""
    path = directory / "report.html"
    try:
        write_text(path, run_page(read_run(directory)))
    except OSError as error:
        log.error(f"{os.path.relpath(path)} cannot be written ({error.strerror})")
        return None
    return path


def run_page(run: RunRecord) -> str:
    """Return the page."""
    result = run.result
    counts = [f"{result[key]:,} {key}" for key in ("iterations", "images") if key in result]
    if result.get("seconds"):
        counts.append(f"{result['seconds']:,.0f} s, {result['images'] / result['seconds']:,.0f} images/s")
    best = ""
    if result.get("best", {}).get(run.monitor) is not None:
        place = f" at iteration {result['best']['iteration']:,}" if "iteration" in result["best"] else ""
        best = f"Best {run.monitor}: {result['best'][run.monitor]:.4g}{place}"
    files = (("Configuration", "config.yaml"), ("Environment", "environment.json"))
    return document(
        run.directory.absolute().name,
        f'<p class="verdict">{text(best or why(run))}</p>'
        f'<p class="small">{text("; ".join([why(run), *counts]))}</p>'
        f"{health(run)}{metrics(run)}{plots(run)}{slider({'': run})}"
        f"<h3>The command that repeats it</h3><pre>{text(command(Group('', [run])))}</pre>"
        f"{''.join(content(title, run.directory / name) for title, name in files)}",
    )


def content(title: str, file: Path) -> str:
    """Return the content of a file, to be opened by a click."""
    return details(title, f"<pre>{text(file.read_text(encoding='utf-8'))}</pre>") if file.is_file() else ""


def health(run: RunRecord) -> str:
    """Return what was wrong with the run and what to try."""
    lines = []
    for record in run.result.get("health", []):
        since = f"since iteration {record['since']}: {record['saw']}"
        gone = f"gone since {record['until']}" if record["until"] is not None else f"try: {record['try']}"
        symptom = record["symptom"].replace("_", " ")
        lines.append(f"<li><strong>{text(symptom)}</strong> {text(f'{since}; {gone}')}</li>")
    return f"<h3>Health</h3><ul>{''.join(lines)}</ul>" if lines else ""


def metrics(run: RunRecord) -> str:
    """Return the table of the final metrics, and how each was at its least and its largest."""
    rows = []
    for name, last in run.result.get("final", {}).items():
        values = [value for _, value in run.curve(name) if math.isfinite(value)]
        numbers = (last, min(values, default=None), max(values, default=None))
        cells = "".join(f'<td data-value="{value}">{number(value)}</td>' for value in numbers)
        rows.append(f'<tr><td data-value="{text(name)}">{text(name)}</td>{cells}</tr>')
    heads = "".join(
        f'<th><button type="button">{name}</button></th>' for name in ("metric", "last", "least", "largest")
    )
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="wide">{table}</div>' if rows else ""


def number(value: float | None) -> str:
    """Return a number of four digits; a dash where it is none, as it is for NaN in ``result.json``."""
    return "–" if value is None else f"{value:.4g}"


def plots(run: RunRecord) -> str:
    """Return curves of the metrics and of both players' losses over the images seen."""
    names = list(dict.fromkeys([run.monitor, *(name for row in run.rows for name in row)]))
    shown = [name for name in names if name.startswith("val/") and not name.endswith("_best") and run.curve(name)]
    drawn = [lines({name: run.curve(name)}, name) for name in shown[:MOST_PLOTS]]
    for player in ("discriminator", "generator"):
        own = {name.partition("/")[2]: run.curve(name) for name in names if name.startswith(f"{player}/")}
        if own:
            drawn.append(lines(own, f"loss of the {player}"))
    return f'<h3>Over training</h3><div class="plots">{"".join(drawn)}</div>' if drawn else ""
