"""Decoded images in one memory-mapped file of the cache folder: for data larger than memory, kept between runs."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import shutil
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gan_lightning.data.files import ImageDataset
from gan_lightning.utils.files import atomic_write, file_lock
from gan_lightning.utils.find_images import file_state, shown

log = logging.getLogger(__name__)

VERSION = 2
"""Of the file, and of the rule by which images are decoded: files of other versions are made anew."""

CHECKED_BYTES = 1 << 24
"""As many at a time."""

INSTEAD = "let GAN_LIGHTNING_CACHE name another folder, or read the files each time by data.in_memory=false"


class Cached(NamedTuple):
    """Decoded images.

    Attributes:
        pixels: (count, channels, height, width) of uint8, mapped from the file.
        rows: those of files that could be read.
        kinds: how many images there are of each format and mode.
    """

    pixels: Tensor
    rows: list[int]
    kinds: Counter[str]


def cached_pixels(images: ImageDataset, shape: Sequence[int], workers: int, folder: Path) -> Cached:
    """Return decoded images out of the cache; the first run decodes them, and others of this machine wait for it.

    The file is an array in NumPy's .npy format with JSON behind it, in which the array's CRC-32 stands; it is read once
    to compare them, at about a gigabyte a second. Its name follows from what the images' files are (name, size, times)
    and how they are decoded; it is there when it is whole.

    Args:
        images: to decode.
        shape: of each, (channels, height, width).
        workers: processes that decode.
        folder: of the cache.

    Raises:
        UnreadableImageError: files cannot be read, see `ImageDataset.read_all`.
        OSError: there is no room for the file, or it cannot be written or read.
    """
    path = folder / "images" / f"{stamp(images, shape)}.npy"
    with file_lock(path):
        found = load(path, (len(images), *shape))
        if found is None:
            try:
                write(images, shape, workers, path)
            except OSError as error:
                if error.strerror is None:  # there is no room
                    raise
                raise OSError(f"{path} cannot be written ({error.strerror}): {INSTEAD}") from error
            found = load(path, (len(images), *shape))
        else:
            log.info("%d images were decoded before, into %s", len(images), path)
    if found is None:
        raise OSError(f"{path} was written and cannot be read: {INSTEAD}")
    return found


def stamp(images: ImageDataset, shape: Sequence[int]) -> str:
    """Return sixteen hexadecimal digits that stand for the files and for how they are decoded."""
    digest = hashlib.sha256(f"{VERSION} {tuple(shape)} {images.to} {images.on_error}\n".encode())
    for path in images.paths:
        state = file_state(path) if isinstance(path, Path) else path.state()
        digest.update(f"{shown(path)}\0{state}\n".encode())
    return digest.hexdigest()[:16]


def write(images: ImageDataset, shape: Sequence[int], workers: int, path: Path) -> None:
    """Decode images into the file `path`, whole or not at all; errors as `cached_pixels` has them."""
    size = len(images) * math.prod(shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise OSError(
            f"{len(images)} decoded images take {size / 2**30:.1f} GiB and {path.parent} has {free / 2**30:.1f} GiB "
            f"left: {INSTEAD}"
        )
    started = time.monotonic()
    with atomic_write(path, durable=True) as unfinished:
        array = np.lib.format.open_memmap(unfinished, "w+", np.uint8, (len(images), *shape))
        rows, kinds = images.read_all(workers, torch.from_numpy(array))
        array.flush()
        about = {"rows": None if len(rows) == len(images) else rows, "kinds": kinds, "crc": checksum(array)}
        del array
        behind = json.dumps(about).encode()
        with unfinished.open("ab") as file:
            file.write(behind + len(behind).to_bytes(8, "little"))
    seconds = time.monotonic() - started
    log.info("decoded %d images at %.0f a second into %s", len(images), len(images) / max(seconds, 1e-3), path)


def load(path: Path, shape: Sequence[int]) -> Cached | None:
    """Return what `write` wrote of images of the whole `shape`; None where there is no such file, or a damaged one."""
    try:
        if path.exists() and not path.is_file():  # a named pipe would be waited for
            raise ValueError("it is no file")
        with path.open("rb") as file:
            file.seek(-8, os.SEEK_END)
            length = int.from_bytes(file.read(8), "little")
            file.seek(-8 - length, os.SEEK_END)
            about = json.loads(file.read(length))
        # Mapped to be changed in memory alone: PyTorch warns of arrays that cannot be written to.
        array = np.lib.format.open_memmap(path, "c")
        if array.shape != tuple(shape) or array.dtype != np.uint8:
            raise ValueError(f"it holds {array.shape}")
        rows = about["rows"] if about["rows"] is not None else list(range(len(array)))
        if any(type(row) is not int or not 0 <= row < len(array) for row in rows):
            raise ValueError("it names rows that it does not have")
        if checksum(array) != about["crc"]:
            raise ValueError("its checksum does not hold")
        return Cached(torch.from_numpy(array), rows, Counter(about["kinds"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, SyntaxError, EOFError) as error:
        log.warning("%s is damaged (%s): the images are decoded again", path, str(error).split("\n")[0])
        return None


def checksum(array: np.ndarray[Any, np.dtype[np.uint8]]) -> int:
    """Return the CRC-32 of the bytes of an array."""
    content, crc = array.reshape(-1).data, 0
    for start in range(0, len(content), CHECKED_BYTES):
        crc = zlib.crc32(content[start : start + CHECKED_BYTES], crc)
    return crc
