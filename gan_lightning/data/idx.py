"""The idx file format, in which MNIST and its relatives are distributed."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import torch
from torch import Tensor

# The magic number: two zero bytes, the element type (8: unsigned byte), the number of axes.
UNSIGNED_BYTE = 8
GZIP_MAGIC = b"\x1f\x8b"


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
    content = path.read_bytes()
    if content.startswith(GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is a truncated or damaged gzip file: delete it and fetch it again") from error
    axes = content[3] if len(content) >= 4 else 0
    start = 4 + 4 * axes
    if axes == 0 or content[:3] != bytes((0, 0, UNSIGNED_BYTE)) or len(content) < start:
        raise ValueError(f"{path} is not an idx file of unsigned bytes, the format that MNIST is distributed in")
    shape = [int.from_bytes(content[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(axes)]
    expected, found = math.prod(shape), len(content) - start
    if found != expected:
        raise ValueError(
            f"{path} is damaged: its header promises {expected} bytes of data and {found} follow; fetch it again"
        )
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)[start:].reshape(shape)
