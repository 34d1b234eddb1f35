"""Weights from the network, or one sentence."""

from __future__ import annotations

from pathlib import Path
from urllib.request import urlopen

import torch

CONNECT_SECONDS = 10.0


def in_hub(url: str) -> Path:
    """Where torch.hub keeps the file of `url`."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name


def file_given(path: str | Path, name: str) -> Path:
    """The file that `extractor.weights` names.

    Raises:
        FileNotFoundError: there is none.
    """
    found = Path(path).expanduser()
    if not found.is_file():
        raise FileNotFoundError(f"extractor.weights={path} does not exist: give the path of {name}")
    return found


def reach(url: str, what: str, name: str, instead: str) -> None:
    """See that `url` answers.

    Raises:
        FileNotFoundError: it does not; the sentence says that `what` needs the file `name`, and what else to choose.
    """
    try:
        urlopen(url, timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise FileNotFoundError(
            f"{what} could not be downloaded ({error}): set extractor.weights to the path of {name}, "
            f"or choose {instead}"
        ) from error
