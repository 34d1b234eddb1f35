"""Pictures as 8-bit pixels: tiles of samples, animations, and how loggers take them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from pathlib import Path
from typing import Generic, TypeVar

import matplotlib
import numpy as np
from lightning.pytorch.loggers import Logger
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.utils import make_grid

from gan_lightning.data.pixels import to_uint8
from gan_lightning.utils.class_names import class_words
from gan_lightning.utils.files import atomic_write
from gan_lightning.utils.progress_bar import track

T = TypeVar("T")
Pixels = NDArray[np.uint8]
"""A picture, (height, width, 3)."""

LONGEST_NAME = 24
"""Most letters of a name beside a row."""

MOST_FRAMES = 50
"""Of an animation."""
FRAME_MS, LAST_FRAME_MS = 120, 2500

GAP = 2
"""Pixels around each image of a grid."""


def make_image_grid(
    images: Tensor, least_width_px: int = 560, columns: int | None = None, row_names: Sequence[str] | None = None
) -> Pixels:
    """Return all `images` in one picture, row by row.

    Args:
        images: (count, 1 or 3, height, width) in [-1, 1].
        least_width_px: the picture is enlarged by a whole factor, each pixel repeated, until it is at least so wide.
        columns: images in a row; None: as near to a square as whole rows allow.
        row_names: stand on the left of the rows; None: nothing does.

    Raises:
        ValueError: when `images` are not images.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(
            f"only grey and colour images can be tiled, (count, 1 or 3, height, width), not {tuple(images.shape)}: "
            "for samples that are not images choose callbacks.samples=null"
        )
    columns = columns or -int(-(len(images) ** 0.5) // 1)
    grid: Pixels = make_grid(to_uint8(images), nrow=columns, padding=GAP, pad_value=128).permute(1, 2, 0).cpu().numpy()
    factor = -(-least_width_px // grid.shape[1])
    grid = grid.repeat(factor, axis=0).repeat(factor, axis=1)
    return grid if row_names is None else np.hstack([row_labels(row_names, len(grid)), grid])


def corner_of_grid(grid: Pixels, shape: Sequence[int], columns: int, across: int) -> Pixels:
    """Return the upper right `across` times `across` images, or all where there are fewer, of a grid with their gaps.

    Args:
        grid: of `make_image_grid`; the names of rows stand on the left.
        shape: of the images in it, (count, channels, height, width).
        columns: images in a row of it.
        across: images in a row and in a column of what is returned.
    """
    count, _, height, width = shape
    if count == 1:  # which has no gap around it
        return grid
    columns = min(columns, count)
    rows = -(-count // columns)
    factor = len(grid) // (rows * (height + GAP) + GAP)
    bottom, left = ((min(n, across) * (size + GAP) + GAP) * factor for n, size in ((rows, height), (columns, width)))
    return grid[:bottom, -left:]


def row_names(labels: Tensor, columns: int, names: Sequence[str] | None) -> list[str]:
    """Return the names of the classes that rows of `columns` images show, whose `labels` are (count,)."""
    return class_words(labels[::columns].tolist(), names)


def row_labels(names: Sequence[str], height: int) -> Pixels:
    """Return a picture of `height` pixels with a name in each of its rows, as wide as the longest name."""
    names = [name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in names]
    row = height / max(len(names), 1)
    font = ImageFont.truetype(
        Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), max(8, min(20, int(0.6 * row)))
    )
    width = ceil(max((font.getlength(name) for name in names), default=0)) + 12
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    for number, name in enumerate(names):
        draw.text((width - 6, (number + 0.5) * row), name, "black", font, anchor="rm")
    return np.asarray(picture)


def save_picture(picture: Pixels, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    with atomic_write(path) as unfinished:
        Image.fromarray(picture).save(unfinished, format="PNG")


def read_picture(path: Path) -> Pixels | None:
    """Return the pixels of a file of `save_picture`; None where it cannot be read, or is of another kind."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture) if picture.mode == "RGB" else None
    except Exception:  # a file is damaged in any way
        return None


class AnimationFrames(Generic[T]):
    """Frames for an animation, as they come: never two within `spacing` iterations, and always the newest.

    Args:
        spacing: iterations.
    """

    def __init__(self, spacing: float) -> None:
        self.spacing = spacing
        self.frames: list[T] = []
        self._iterations: list[int] = []

    def add(self, iteration: int, frame: T) -> None:
        """Take the newest frame. The one before goes if it was near its own predecessor."""
        if len(self.frames) > 1 and self._iterations[-1] - self._iterations[-2] < self.spacing:
            self.frames.pop()
            self._iterations.pop()
        self.frames.append(frame)
        self._iterations.append(iteration)


def save_animation(frames: Iterable[Pixels], count: int, path: Path, last_frame_ms: int = LAST_FRAME_MS) -> None:
    """Write `count` frames, each taken when it is needed, as an endless GIF that rests on its last frame."""
    pictures = [Image.fromarray(frame) for frame in track(frames, f"Rendering {path.name}", count)]
    # One palette for all frames, or flat areas would flicker; no dithering, which would speckle them.
    palette = Image.fromarray(np.concatenate([np.asarray(picture)[::4, ::4] for picture in pictures])).quantize(256)
    pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    durations = [FRAME_MS] * (len(pictures) - 1) + [last_frame_ms]
    with atomic_write(path) as unfinished:
        pictures[0].save(
            unfinished, format="GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0
        )


def log_picture(
    loggers: Iterable[Logger], key: str, picture: Pixels, iteration: int, caption: str | None = None
) -> None:
    """Give `picture` to those of `loggers` that take images, under `key`; its caption is the iteration, if None."""
    for logger in loggers:
        if hasattr(logger, "log_image"):
            logger.log_image(key=key, images=[picture], step=iteration, caption=[caption or f"iteration {iteration}"])


def log_animation(loggers: Iterable[Logger], path: Path, iteration: int) -> None:
    """Give the GIF at `path` to those of `loggers` that take videos, under ``evolution``."""
    for logger in loggers:
        if hasattr(logger, "log_video"):
            logger.log_video(key="evolution", videos=[str(path)], step=iteration, format=["gif"])
