"""Weights of pretrained networks: found, downloaded and read, with errors that say what to do."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import torch

from gan_lightning.utils.checks import fingerprint

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0


def hub_file(url: str) -> Path:
    """Return where torch.hub keeps the file of `url`."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name


def is_kept(url: str) -> bool:
    """Return whether torch.hub keeps the file of `url`, with the content whose SHA-256 the name says."""
    path = hub_file(url)
    digits = path.stem.rpartition("-")[2]
    if not path.is_file() or not re.fullmatch(r"[0-9a-f]{8,}", digits):
        return path.is_file()
    try:
        whole = fingerprint(path).startswith(digits[:12])
    except OSError:
        whole = False
    if not whole:
        log.warning(f"{path} is damaged, its SHA-256 is not that in its name: it is downloaded again")
    return whole


def weights_file(given: str | Path | None, url: str, what: str, instead: str) -> Path | None:
    """Return the file to load: the one that `extractor.weights` gives, or torch.hub's; None if `url` has to be read.

    Raises a FileNotFoundError if there is no such file, or `url` does not answer; the message says that `what` needs
    it, and what to choose `instead`.
    """
    kept = hub_file(url)
    if given is not None:
        found = Path(given).expanduser()
        if not found.is_file():
            raise FileNotFoundError(f"extractor.weights={given} does not exist: give the path of {kept.name}")
        return found
    if is_kept(url):
        return kept
    try:
        urlopen(url, timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise FileNotFoundError(
            f"{what} could not be downloaded ({error}): set extractor.weights to the path of {kept.name}, "
            f"or choose {instead}"
        ) from error
    return None


def read_weights(path: Path, name: str) -> Any:
    """Return the content of a file, on the CPU, by a reader that runs none of its code; libraries' own may run it.

    Raises a FileNotFoundError that names the file `name` if it cannot be read, and all kinds for a broken file.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise FileNotFoundError(
            f"{path} cannot be read ({error}): set extractor.weights to the path of {name}"
        ) from error


def download(url: str, what: str) -> Path:
    """Return the file of `url` in torch.hub's folder, downloaded where it is not there yet: whole, or not at all.

    The first digits of its SHA-256 are the last part of its name, and are compared with those of the content. Raises a
    FileNotFoundError, which says that `what` needs it.
    """
    path = hub_file(url)
    if not is_kept(url):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2])
        except (OSError, HTTPException, RuntimeError) as error:  # the last for other digits
            raise FileNotFoundError(
                f"{what} could not be downloaded ({error}): set extractor.weights to the path of {path.name}"
            ) from error
    return path


@contextmanager
def weights_error_context(path: Path, network: str, name: str) -> Iterator[None]:
    """Raise a ValueError for all that is wrong with the weights in `path`, a FileNotFoundError if it cannot be read."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(
            f"{path} does not hold the weights of {network}: set extractor.weights to the path of {name}"
        ) from error
