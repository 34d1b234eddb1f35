"""A report as one HTML page that needs nothing else: tables that sort, curves, samples over training."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gan_lightning.sweeps.collect import RunRecord, Table
from gan_lightning.sweeps.labels import differing
from gan_lightning.sweeps.pictures import slider
from gan_lightning.sweeps.plots import colours, numbers_of, over_number, over_training, parallel
from gan_lightning.sweeps.words import command, interval, sentence, spread, why
from gan_lightning.utils.conf import leaves
from gan_lightning.utils.files import read_json

ASSETS = Path(__file__).parent / "assets"


def page(title: str, tables: Sequence[Table], without: Sequence[RunRecord]) -> str:
    """Return the page."""
    parts = [section(table, number) for number, table in enumerate(tables)]
    if without:
        rows = "".join(f"<li><code>{text(run.directory.name)}</code> {text(why(run))}</li>" for run in without)
        parts.append(f"<h2>Runs without a number</h2><ul>{rows}</ul>")
    return document(title, "".join(parts))


def document(title: str, body: str) -> str:
    """Return a whole page."""
    style, script = ((ASSETS / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{style}</style></head><body><h1>{text(title)}</h1>"
        f"{body}<script>{script}</script></body></html>\n"
    )


def text(value: object) -> str:
    """Return `value` as HTML shows it."""
    return html.escape(str(value))


def details(title: str, body: str) -> str:
    """Return a part of a page that opens by a click."""
    return f"<details><summary>{text(title)}</summary>{body}</details>"


def section(table: Table, number: int) -> str:
    """Return the part of a page about a table."""
    better = "smaller is better" if table.mode == "min" else "larger is better"
    swept = numbers_of(table)
    over = "".join(f"<h3>Over {text(key)}</h3>{over_number(table, key)}" for key in swept)
    if len(swept) > 1:
        over += f"<h3>All that was swept</h3>{parallel(table)}"
    first = {group.name: group.runs[0] for group in table.groups}
    settings = {name: run.settings() for name, run in first.items()}
    return (
        f"<section><h2>{text(table.monitor)}, {better}</h2>"
        f'<p class="verdict">{text(sentence(table))}</p><p class="small">{text("; ".join(table.protocol))}</p>'
        f"{rows(table)}<h3>Over training</h3>{over_training(table)}{over}{slider(first, number)}"
        f"{differences('What differs in the configurations', settings)}{environment(table)}</section>"
    )


def rows(table: Table) -> str:
    """Return the table of groups, whose columns sort."""
    head = ("setting", "n", "best: mean ± std", "95 % interval", "last: mean ± std", "images/s", "health", "command")
    lines = []
    for group, colour in zip(table.groups, colours(len(table.groups)), strict=True):
        best, last = group.summary(), group.summary("last")
        speeds = [run.result["images"] / run.result["seconds"] for run in group.runs if run.result.get("seconds")]
        records = [record for run in group.runs for record in run.result.get("health", [])]
        symptoms = sorted({record["symptom"].replace("_", " ") for record in records})
        name = f'<span class="swatch" style="background:{colour}"></span><code>{text(group.name)}</code>'
        cells: list[tuple[Any, str]] = [
            (group.name, name),
            (best.n, str(best.n)),
            (best.mean, text(spread(best))),
            (best.interval[0] if best.interval else best.mean, text(interval(best))),
            (last.mean, text(spread(last))),
            (np.mean(speeds) if speeds else 0, f"{np.mean(speeds):.0f}" if speeds else "–"),
            (len(symptoms), text(", ".join(symptoms) or "–")),
            (group.name, details("show", f"<code>{text(command(group))}</code>")),
        ]
        lines.append("<tr>" + "".join(f'<td data-value="{text(key)}">{shown}</td>' for key, shown in cells) + "</tr>")
    order = ' aria-sort="ascending"' if table.mode == "min" else ' aria-sort="descending"'
    buttons = "".join(
        f'<th{order if name.startswith("best") else ""}><button type="button">{text(name)}</button></th>'
        for name in head
    )
    return f'<div class="wide"><table><thead><tr>{buttons}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def differences(title: str, values: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table of the keys that differ between `values`, which are by name; nothing where none does."""
    keys = differing(list(values.values()))
    if not keys:
        return ""
    names = list(values)
    cells = [[own.get(key, "–") for key in keys] for own in values.values()]
    heads, sides = keys, names
    if len(keys) > len(names):  # the longer side runs down
        heads, sides, cells = names, keys, [list(column) for column in zip(*cells, strict=True)]
    body = "".join(
        f"<tr><th><code>{text(side)}</code></th>{''.join(f'<td>{text(cell)}</td>' for cell in line)}</tr>"
        for side, line in zip(sides, cells, strict=True)
    )
    head = "".join(f"<th>{text(name)}</th>" for name in heads)
    table = f'<table class="plain"><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>'
    return details(f"{title} ({len(keys)})", f'<div class="wide">{table}</div>')


def environment(table: Table) -> str:
    """Return in what versions and hardware differ between runs, and all of them for the first run."""
    runs = [run for group in table.groups for run in group.runs]
    found = {run.directory.name: read_json(run.directory / "environment.json") for run in runs}
    known = {name: content for name, content in found.items() if content}
    if not known:
        return ""
    plain = {name: dict(leaves({**content, "command": None})) for name, content in known.items()}
    name, content = next(iter(known.items()))
    whole = f"<pre>{text(json.dumps(content, indent=2))}</pre>"
    return differences("What differs in the environments", plain) + details(f"Environment of {name}", whole)
