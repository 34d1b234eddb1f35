"""Samples on a report's page, side by side under a slider through training."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from gan_lightning.sweeps.collect import RunRecord

MOST_PICTURES = 200
"""Pictures on a page, over all runs on it: some 10 kB each."""

STAGES = 12
"""Most positions of the slider."""

FEW = 4
"""Runs up to which their pictures are large."""

Picture = tuple[float, Path]
"""The images seen, and the file."""


def slider(runs: Mapping[str, RunRecord], number: int = 0) -> str:
    """Return the pictures of runs, by name, at equal images seen; nothing where there are none.

    Args:
        runs: by the names below their pictures.
        number: tells the sliders of a page apart.
    """
    found = {name: all_pictures(run) for name, run in runs.items()}
    found = {name: pictures for name, pictures in found.items() if pictures}
    stills = {name: run.directory / "density.png" for name, run in runs.items() if name not in found}
    width, cards = 440 if len(runs) <= FEW else 220, []
    end = max((pictures[-1][0] for pictures in found.values()), default=0.0)
    stages = max(2, min(STAGES, MOST_PICTURES // max(1, len(runs))))
    stops: set[float] = set()
    for name, pictures in found.items():
        chosen = at_stages(pictures, [end * stage / (stages - 1) for stage in range(stages)])
        stops |= {seen for seen, _ in chosen}
        images = "".join(image(path, width, seen, hidden=path != chosen[-1][1]) for seen, path in chosen)
        cards.append(card(name, images))
    cards += [card(name, image(path, 440)) for name, path in stills.items() if path.is_file()]
    if not cards:
        return ""
    control = ""
    if len(stops) > 1:
        places = ",".join(f"{stop:.0f}" for stop in sorted(stops))
        control = (
            f'<label>images seen <input type="range" min="0" max="{len(stops) - 1}" value="{len(stops) - 1}" '
            f'data-stops="{places}"> <output>{end:,.0f}</output></label>'
        )
    head = f'<div class="samples" id="samples{number}"><h3>Samples</h3>{control}'
    return f'{head}<div class="cards">{"".join(cards)}</div></div>'


def all_pictures(run: RunRecord) -> list[Picture]:
    """Return the pictures of a run's samples, in the order of training."""
    files = sorted((run.directory / "samples").glob("iteration_*.png"))
    return [(run.images_at(int(file.stem.partition("_")[2])), file) for file in files]


def at_stages(pictures: list[Picture], stages: list[float]) -> list[Picture]:
    """Return the newest of at least one picture at each of `stages`, in images seen; each once."""
    seen = [at for at, _ in pictures]
    rows = np.searchsorted(seen, np.asarray(stages) + 0.5) - 1  # rounding must not miss the picture of a stage
    return [pictures[row] for row in dict.fromkeys(rows.clip(min=0).tolist())]


def card(name: str, images: str) -> str:
    """Return pictures with their name."""
    return f"<figure>{images}<figcaption>{html.escape(name)}</figcaption></figure>"


def image(path: Path, width: int, seen: float = 0.0, hidden: bool = False) -> str:
    """Return an image file, scaled down to `width` pixels, within the page."""
    buffer = io.BytesIO()
    with Image.open(path) as content:
        small = content.convert("RGB")
        small.thumbnail((width, 4 * width))
        small.save(buffer, "WEBP", quality=70)
    data = base64.b64encode(buffer.getvalue()).decode()
    state = " hidden" if hidden else ""
    source = f'src="data:image/webp;base64,{data}"'
    return f'<img alt="samples after {seen:.0f} images" data-images="{seen:.0f}" {source}{state}>'
