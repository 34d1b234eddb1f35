"""What tells that a checkpoint is as it was saved: a digest of its structure in it, and the zip file's own checksums.

A zip file keeps a CRC-32 of each tensor's bytes, which `torch.save` computes anyway and `torch.load` does not compare.
The digest holds all else: names, plain values, shapes and types. Nothing here imports torch.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

KEY = "checksum"
"""Where a checkpoint keeps the digest."""

MOST_NODES = 2_000_000
"""Checkpoints of more names and values than this are no run's."""

LONGEST_NAME = 10_000
"""Characters of the names that lead to a value; one that holds itself would have no end of them."""


def structure_digest(content: Mapping[str, Any]) -> str:
    """Return a digest of nested mappings and lists: names, plain values, shapes and types of tensors; `KEY` left out.

    Raises:
        ValueError: they hold more than `MOST_NODES`, or are nested without end.
    """
    digest = blake2b(digest_size=16)
    waiting: list[tuple[str, Any]] = [("", {key: part for key, part in content.items() if key != KEY})]
    for _ in range(MOST_NODES):
        if not waiting:
            return digest.hexdigest()
        name, node = waiting.pop()
        if len(name) > LONGEST_NAME:
            break
        if isinstance(node, Mapping):
            found: object = len(node)
            waiting += [(f"{name}/{key}", part) for key, part in node.items()]
        elif isinstance(node, (list, tuple)):
            found = len(node)
            waiting += [(f"{name}/{index}", part) for index, part in enumerate(node)]
        elif hasattr(node, "dtype"):
            found = f"{node.dtype} {tuple(node.shape)}"
        else:
            found = repr(node)
        digest.update(f"{name}={found}\n".encode(errors="surrogateescape"))
    raise ValueError("too many parts")


def is_whole_zip(path: Path) -> bool:
    """Return whether a file is a zip of `torch.save` in which each part has its CRC-32; all of it is read once."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            stored = all(part.compress_type == zipfile.ZIP_STORED for part in parts)  # so that reading ends
            return stored and sum(part.file_size for part in parts) <= path.stat().st_size and not archive.testzip()
    except Exception:  # a damaged directory is damaged in any way
        return False
