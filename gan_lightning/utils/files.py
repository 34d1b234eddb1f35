"""Files that are whole or not there, and a cache of files that can be made again."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

log = logging.getLogger(__name__)

VARIABLE = "GAN_LIGHTNING_CACHE"
DIGEST_BYTES = 32
UNFINISHED = ".part"
"""The ending of a file that is being written, or that a process which was killed has left behind."""


def cache_folder(choice: str | None = "auto") -> Path | None:
    """Return the folder of cached files: `auto` is $GAN_LIGHTNING_CACHE or ~/.cache/gan_lightning; None for none."""
    if choice is None:
        return None
    return Path(os.environ.get(VARIABLE) or "~/.cache/gan_lightning" if choice == "auto" else choice).expanduser()


@contextmanager
def atomic_write(path: Path, durable: bool = False) -> Iterator[Path]:
    """Yield a path beside `path` to write a file to; the file then takes the place of `path` in one step.

    A reader never finds half a file, and any number of processes may write the same one. Where the block raises, what
    was at `path` is still there and the unfinished file is gone. A process that is killed leaves ``<name>.*.part``.

    Args:
        path: of the file; its folder is made if it is not there.
        durable: bring the content to the disk first, so that it outlives a crash of the machine.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{uuid4().hex[:8]}{UNFINISHED}")
    try:
        yield unfinished
        if durable:
            with unfinished.open("rb+") as file:
                os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    with atomic_write(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, whole or not at all. NaN and infinity become null."""
    write_text(path, json.dumps(json_safe(content), indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file; None where there is no file, or another content."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def json_safe(value: Any) -> Any:
    """Return `value` with None in the place of NaN and infinity, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def save_cached(content: Any, path: Path) -> None:
    """Write what `torch.load` reads with `weights_only`, behind its SHA-256; an OSError leaves nothing behind."""
    import torch  # here, because the command line writes and reads files before it imports torch

    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = buffer.getvalue()
    with atomic_write(path) as unfinished:
        unfinished.write_bytes(hashlib.sha256(data).digest() + data)


def load_cached(path: Path, device: Any = "cpu") -> Any:
    """Return what `save_cached` wrote, on `device`; None where there is nothing, or what cannot be used: a warning."""
    import torch

    try:
        if not path.is_file():  # a named pipe would be waited for
            if path.exists():
                raise ValueError("no file")
            return None
        data = path.read_bytes()
        if hashlib.sha256(data[DIGEST_BYTES:]).digest() != data[:DIGEST_BYTES]:
            raise ValueError("its checksum does not hold")
        return torch.load(io.BytesIO(data[DIGEST_BYTES:]), map_location=device, weights_only=True)
    except Exception as error:  # whatever another version of PyTorch may have written
        reason = error.strerror if isinstance(error, OSError) else str(error).split("\n")[0]
        log.warning(f"{path} cannot be used ({reason}): its content is computed again")
        return None


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Within, no other process of this machine makes the file `path`; where locks are not to be had, others may."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl

        lock = path.with_name(f".{path.name}.lock").open("w", encoding="utf-8")
    except (ImportError, OSError):
        yield
        return
    with lock:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)  # given back when the file is closed, also by a process that is killed
        yield
