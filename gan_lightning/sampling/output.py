"""Files of samples, written whole or not at all, and never over others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch import Tensor
from torchvision.io import encode_png

from gan_lightning.data.pixels import to_uint8
from gan_lightning.utils.errors import WorkError
from gan_lightning.utils.folder_facts import file_name_of
from gan_lightning.utils.progress_bar import track


def write_atomically(folder: Path, name: str, write: Callable[[Path], None]) -> list[Path]:
    """Write aside, and move everything to its place once all of it is there.

    Nothing that is there already is overwritten: where the name is taken the files get a number, ``<name>_2``.

    Args:
        folder: the place, made if it is not there.
        name: of the files, without an ending.
        write: writes files or folders whose names begin with `name`, into the empty folder that it is given.

    Returns:
        The paths written, in the order of their names.

    Raises:
        WorkError: the folder cannot be written to, or the disk is full.
    """
    new_folders: list[Path] = []
    try:
        new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".writing-") as aside:
            write(Path(aside))
            items = sorted(Path(aside).iterdir())
            paths = free_paths(folder, name, [item.name.removeprefix(name) for item in items])
            for item, path in zip(items, paths, strict=True):
                item.rename(path)
        return paths
    except BaseException as error:
        with suppress(OSError):
            for path in new_folders:  # the deepest first, and empty again
                path.rmdir()
        if isinstance(error, OSError):
            raise WorkError(f"{folder} cannot be written to: {error}") from error
        raise


def free_paths(folder: Path, name: str, endings: Sequence[str]) -> list[Path]:
    """Return a path for each of `endings`, behind `name` or the first ``<name>_<number>`` that is free for all."""
    for number in count(1):
        numbered = name if number == 1 else f"{name}_{number}"
        paths = [folder / f"{numbered}{ending}" for ending in endings]
        if not any(path.exists() for path in paths):
            return paths
    raise AssertionError("count ends")


def save_files(images: Tensor, folder: Path, words: Sequence[str] | None = None) -> None:
    """Write a PNG for each of `images` (count, channels, height, width) in [-1, 1], numbered, in the new `folder`.

    The file of image 3 is named ``03.png``; ``03_circle.png`` where `words` says what it is.
    """
    folder.mkdir()
    digits = len(str(len(images) - 1))
    for index, pixels in enumerate(track(to_uint8(images), "Writing")):
        word = "" if words is None else f"_{file_name_of(words[index])}"
        save_image(pixels, folder / f"{index:0{digits}}{word}.png")


def save_image(pixels: Tensor, path: Path) -> None:
    """Write a PNG, grey or in colour, of `pixels` (1 or 3, height, width), uint8."""
    path.write_bytes(encode_png(pixels).numpy().tobytes())  # torchvision's write_png does not notice a full disk


def save_arrays(path: Path, labels: Tensor | None = None, **samples: Tensor) -> None:
    """Write an npz: `samples` by name, and their `labels` where there are any.

    Samples (..., channels, height, width) become uint8 (..., height, width, channels); other data stay float32.
    """
    arrays: dict[str, Any] = {
        name: (to_uint8(each).movedim(-3, -1) if is_image(each) else each).numpy() for name, each in samples.items()
    }
    if labels is not None:
        arrays["labels"] = labels.numpy()
    np.savez_compressed(path, **arrays)


def is_image(samples: Tensor) -> bool:
    """Return whether samples (..., channels, height, width) are images, and not vectors (..., dim)."""
    return samples.ndim >= 4
