"""Names of runs that say what differs, as it was typed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b

LONGEST_NAME = 150
"""Characters of a job's name; file systems take 255 bytes."""

NO_SETTING = (
    "callbacks",
    "logger",
    "name",
    "log_every",
    "samples_every",
    "checkpoint_every",
    "ckpt_path",
    "resume",
    "launcher",
    "hparams_search",
    "seed",
)
"""Top keys that say how a run is watched or started, and not what it is."""

IN_NAME = ("data", "model", "loss")
"""Groups whose choices a single run's `name` has already."""


def of_game(key: str) -> bool:
    """Return whether an override says what a run is."""
    return key.partition(".")[0].partition("/")[0] not in (*NO_SETTING, "hydra")


def job_name(settings: Mapping[str, object]) -> str:
    """Return ``loss=lsgan,seed=0``; what no file name can hold is replaced, and such names told apart by a digest."""
    name = ",".join(f"{key}={value}" for key, value in settings.items())
    safe = re.sub(r"[^\w.,=+@\[\]-]+", "_", name.replace("'", "").replace('"', ""))
    if safe == name and len(name) <= LONGEST_NAME:
        return name
    return f"{safe[:LONGEST_NAME]}-{blake2b(name.encode(), digest_size=3).hexdigest()}"


def single_name(name: str, overrides: Iterable[str]) -> str:
    """Return the name of a single run and what was typed beside, ``ring-mlp-gan-s0,optimizer.lr=0.01``.

    Args:
        name: of data, model, loss and seed; the user's own, where `overrides` have one, is returned as it is.
        overrides: that the run is composed with, as they were typed.
    """
    pairs = [override.partition("=") for override in overrides]
    settings = {key.lstrip("+~"): value for key, _, value in pairs}
    shown = {key: value for key, value in settings.items() if of_game(key) and key not in IN_NAME}
    return name if "name" in settings or not shown else f"{name},{job_name(shown)}"
