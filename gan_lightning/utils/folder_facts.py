"""What a folder or zip of images tells of itself before anything is decoded: counts, classes, size. Without torch."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from statistics import median_low
from typing import Any, NamedTuple

from gan_lightning.utils.find_images import ImagePath, list_images, shown
from gan_lightning.utils.image_header import Header, open_header
from gan_lightning.utils.image_layout import layout_of
from gan_lightning.utils.image_sizes import accepted_sizes

LOOKED_AT = 200
"""Files, spread over the folder, whose heads tell the size and the channels of all."""

LARGEST_SIDE = 128
"""Larger images are brought to this side where no other is given: networks for more take days."""

UNKNOWN = Header((64, 64), 3, "")
"""Stands for images none of which can be read."""


class FolderFacts(NamedTuple):
    """What a source of images tells.

    Attributes:
        images: training images.
        class_names: None where there are no classes.
        side: the shorter side of the typical image, pixels; the median.
        smallest: height and width of the smallest image.
        largest: and of the largest.
        channels: 1 where all are grey, else 3.
    """

    images: int
    class_names: tuple[str, ...] | None
    side: int
    smallest: tuple[int, int]
    largest: tuple[int, int]
    channels: int

    @property
    def class_count(self) -> int | None:
        """Return how many classes there are; None where there are none."""
        return None if self.class_names is None else len(self.class_names)


def folder_facts(root: str | Path) -> FolderFacts | None:
    """Return what a folder or zip of images tells; None where there is no such folder, or no image in it."""
    path = Path(root).expanduser()
    try:
        folders = [path, *(entry for entry in sorted(path.iterdir()) if entry.is_dir())] if path.is_dir() else [path]
        return _folder_facts(path, tuple(folder.stat().st_mtime_ns for folder in folders))
    except (OSError, ValueError, zipfile.BadZipFile):
        return None  # said where the images are read


@lru_cache(maxsize=16)
def _folder_facts(root: Path, times: tuple[int, ...]) -> FolderFacts | None:
    # Interpolations call this again and again; `times` of root and its folders tell whether it has to look anew.
    listing = list_images("data.root", root)
    layout = layout_of(listing)
    return facts_of_files([listing.paths[row] for row in layout.train], layout.class_names)


def facts_of_files(files: Sequence[ImagePath], class_names: tuple[str, ...] | None) -> FolderFacts:
    """Return what training images tell, of which some are looked at."""
    headers = _headers(files[:: -(-len(files) // LOOKED_AT)]) or [UNKNOWN]
    sizes = sorted((head.size for head in headers), key=lambda size: size[0] * size[1])
    side = median_low(min(size) for size in sizes)
    channels = max(head.channels for head in headers)
    return FolderFacts(len(files), class_names, side, sizes[0], sizes[-1], channels)


def _headers(files: Sequence[ImagePath]) -> list[Header]:
    found = []
    for path in files:
        try:
            found.append(open_header(path))
        except Exception:  # every kind of file is broken in its own way; named where the images are read
            continue
    return found


def nearest_side(side: int, accepts: Mapping[str, Any] | None) -> int:
    """Return the size in pixels nearest to `side` that a model with the fact `accepts` takes, the smaller of two.

    It is at most `LARGEST_SIDE` where the model takes such.
    """
    side = min(side, LARGEST_SIDE)
    sizes = [size[0] for size in accepted_sizes(accepts or {}, side, side)] or [side]
    return min(sizes, key=lambda size: (abs(size - side), size))


def file_name_of(text: object) -> str:
    """Return a text as part of a file's name: letters, digits, dots, dashes and underscores, at most 60."""
    return re.sub(r"[^\w.-]+", "_", shown(text))[-60:].strip("_.") or "images"
