"""Checks of values that come from configuration files, where `batch_size: abc` is as good as any other YAML."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Protocol


def check_int(key: str, value: object, minimum: int = 1) -> int:
    """Return `value` if it is a whole number of at least `minimum`; else raise a ValueError that names `key`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(f"{key} must be a whole number of at least {minimum}, not {value!r}")
    return value


def check_finite(key: str, value: object) -> float:
    """Return `value` as a float if it is a finite number; else raise a ValueError that names `key`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{key} must be a finite number, not {value!r}")
    return float(value)


def check_positive(key: str, value: object) -> float:
    """Return `value` as a float if it is a finite number above 0; else raise a ValueError that names `key`."""
    if check_finite(key, value) <= 0:
        raise ValueError(f"{key} must be above 0, not {value!r}")
    return check_finite(key, value)


def check_fraction(key: str, value: object) -> float:
    """Return `value` as a float if it is above 0 and at most 1; else raise a ValueError that names `key`."""
    if check_positive(key, value) > 1:
        raise ValueError(f"{key} must be above 0 and at most 1, not {value!r}")
    return check_positive(key, value)


def check_bool(key: str, value: object) -> bool:
    """Return `value` if it is true or false; else raise a ValueError that names `key`."""
    if not isinstance(value, bool):
        raise ValueError(f"{key} must be true or false, not {value!r}")
    return value


def check_ints(key: str, value: object, minimum: int = 0) -> tuple[int, ...]:
    """Return `value` if it is a list of whole numbers of at least `minimum`; else raise a ValueError."""
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise ValueError(f"{key} must be a list of whole numbers, such as {key}=[{minimum}], not {value!r}")
    return tuple(check_int(f"each number in {key}", number, minimum) for number in value)


NUMBER_OR_NONE = (int, float, type(None))


def check_state(name: str, state: Mapping[str, object], kinds: Mapping[str, type | tuple[type, ...]]) -> None:
    """Raise a ValueError for a part of the `state` that a checkpoint holds of `name`, where it is of another kind."""
    for key, kind in kinds.items():
        if key in state and not isinstance(state[key], kind):
            raise ValueError(f"what the checkpoint knows of {name} is damaged: {key} is {state[key]!r:.40}")


class Readable(Protocol):
    """A file, or what can be read like one."""

    def read_bytes(self) -> bytes:
        """Return the content."""
        ...


def fingerprint(path: Readable) -> str:
    """Return twelve hexadecimal digits of the SHA-256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
