"""The idx file format, in which MNIST and its relatives are distributed."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

# The magic number: two zero bytes, the element type (8: unsigned byte), the number of axes.
UNSIGNED_BYTE = 8
GZIP_MAGIC = b"\x1f\x8b"
LARGEST_BYTES = 2**32
"""Arrays of more are refused."""


def read_idx(path: Path) -> Tensor:
    """Return the array in an idx file of unsigned bytes, plain or gzipped (known by content, not by name).

    Args:
        path: the file, e.g. `train-images-idx3-ubyte.gz`.

    Returns:
        uint8 tensor of the shape that the file's header states, e.g. (60000, 28, 28).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not idx of unsigned bytes, or its size is not the one in its header.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no file")  # a named pipe would be waited for
    with path.open("rb") as file:
        packed = file.read(2) == GZIP_MAGIC
    try:
        with path.open("rb") as file:
            return _read_array(path, gzip.GzipFile(fileobj=file) if packed else file)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is a truncated or damaged gzip file: delete it and fetch it again") from error


def _read_array(path: Path, file: IO[bytes] | gzip.GzipFile) -> Tensor:
    """Return the array of an open file, of which no more is read than its header promises."""
    magic = file.read(4)
    axes = magic[3] if len(magic) == 4 else 0
    sides = file.read(4 * axes)
    if axes == 0 or magic[:3] != bytes((0, 0, UNSIGNED_BYTE)) or len(sides) < 4 * axes:
        raise ValueError(f"{path} is not an idx file of unsigned bytes, the format that MNIST is distributed in")
    shape = [int.from_bytes(sides[4 * axis : 4 * axis + 4], "big") for axis in range(axes)]
    expected = math.prod(shape)
    if expected > LARGEST_BYTES:
        raise ValueError(f"{path} promises {expected} bytes of data, more than the {LARGEST_BYTES} that are read")
    content = bytearray(file.read(expected))
    more = len(file.read(1))
    if len(content) + more != expected:
        found = "more" if more else len(content)
        raise ValueError(
            f"{path} is damaged: its header promises {expected} bytes of data and {found} follow; fetch it again"
        )
    return torch.frombuffer(content, dtype=torch.uint8).reshape(shape) if content else torch.empty(shape).byte()
