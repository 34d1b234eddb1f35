"""What `sample.py` writes: whole or not at all, and never over something else."""

from __future__ import annotations

import filecmp
from collections.abc import Callable
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
from gan_lightning.utils.progress_bar import track


def write_atomically(folder: Path, name: str, write: Callable[[Path], None]) -> list[Path]:
    """Write aside, and move everything to its place once all of it is there.

    What lies there already stays as it is. If it has the same content nothing else is written; else the new takes a
    number, ``<name>_2``.

    Args:
        folder: the place, made if it is not there.
        name: what is written, without an ending.
        write: writes files or folders whose names begin with `name`, into the empty folder that it is given.

    Returns:
        The paths written, in the order of their names.

    Raises:
        WorkError: the folder cannot be written to, or the disk is full.
    """
    made: list[Path] = []
    try:
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".writing-") as aside:
            write(Path(aside))
            return placed(sorted(Path(aside).iterdir()), folder, name)
    except BaseException as error:
        with suppress(OSError):
            for path in made:  # the deepest first, and empty again
                path.rmdir()
        if isinstance(error, OSError):
            raise WorkError(f"{folder} cannot be written to: {error}") from error
        raise


def placed(items: list[Path], folder: Path, name: str) -> list[Path]:
    """Move `items` into `folder` under the first number that is free, or has the same items already."""
    for number in count(1):
        numbered = name if number == 1 else f"{name}_{number}"
        paths = [folder / (numbered + item.name.removeprefix(name)) for item in items]
        pairs = list(zip(items, paths, strict=True))
        if all(not path.exists() or same(item, path) for item, path in pairs):
            for item, path in pairs:
                if not path.exists():
                    item.rename(path)
            return paths
    raise AssertionError  # there are always more numbers


def same(first: Path, second: Path) -> bool:
    """Whether two files, or two folders with all that is in them, have the same content."""
    if first.is_dir() != second.is_dir():
        return False
    if first.is_file():
        return filecmp.cmp(first, second, shallow=False)
    names = [sorted(str(path.relative_to(root)) for path in root.rglob("*")) for root in (first, second)]
    return names[0] == names[1] and all(
        filecmp.cmp(first / name, second / name, shallow=False) for name in names[0] if (first / name).is_file()
    )


def save_files(images: Tensor, folder: Path) -> None:
    """A PNG for each of `images` (count, channels, height, width) in [-1, 1], numbered, in the new `folder`."""
    folder.mkdir()
    digits = len(str(len(images) - 1))
    for index, pixels in enumerate(track(to_uint8(images), "Writing")):
        save_image(pixels, folder / f"{index:0{digits}}.png")


def save_image(pixels: Tensor, path: Path) -> None:
    """A PNG, grey or in colour, of `pixels` (1 or 3, height, width), uint8.

    Raises:
        OSError: it cannot be written, or not all of it.
    """
    path.write_bytes(encode_png(pixels).numpy().tobytes())  # torchvision's write_png does not notice a full disk


def save_arrays(path: Path, labels: Tensor | None = None, **samples: Tensor) -> None:
    """An npz: `samples` by name, and the `labels` that they were made for where there are any.

    Samples (..., channels, height, width) become uint8 (..., height, width, channels); other data stay float32.
    """
    arrays: dict[str, Any] = {
        name: (to_uint8(each).movedim(-3, -1) if is_image(each) else each).numpy() for name, each in samples.items()
    }
    if labels is not None:
        arrays["labels"] = labels.numpy()
    np.savez_compressed(path, **arrays)


def is_image(samples: Tensor) -> bool:
    """Whether samples (..., channels, height, width) are images, and not vectors (..., dim)."""
    return samples.ndim >= 4
