"""A folder of files that can be made again: whole or not at all, and harmless when they are damaged."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch

VARIABLE = "GAN_LIGHTNING_CACHE"
DIGEST_BYTES = 32


def cache_folder(choice: str | None = "auto") -> Path | None:
    """Where files are kept: `auto` is $GAN_LIGHTNING_CACHE or else ~/.cache/gan_lightning; None for nowhere."""
    if choice is None:
        return None
    return Path(os.environ.get(VARIABLE) or "~/.cache/gan_lightning" if choice == "auto" else choice).expanduser()


def save_cached(content: Any, path: Path) -> None:
    """Write what `torch.load` reads with `weights_only`, so that any number of processes may write the same file.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    made = io.BytesIO()
    torch.save(content, made)
    data = made.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with aside.open("xb") as file:  # with the umask's mode, which the files of `tempfile` lack
            file.write(hashlib.sha256(data).digest())
            file.write(data)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def load_cached(path: Path, device: torch.device | str = "cpu") -> Any:
    """What `save_cached` wrote, on `device`; None where there is nothing, or a file that is not whole."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(data[DIGEST_BYTES:]).digest() != data[:DIGEST_BYTES]:
        return None
    try:
        return torch.load(io.BytesIO(data[DIGEST_BYTES:]), map_location=device, weights_only=True)
    except Exception:  # whatever another version of PyTorch may have written
        return None


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Within, no other process of this machine makes the file `path`; where locks are not to be had, others may."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl

        lock = path.with_name(f".{path.name}.lock").open("w")
    except (ImportError, OSError):
        yield
        return
    with lock:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)  # given back when the file is closed, also by a process that is killed
        yield
