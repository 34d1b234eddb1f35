"""Checks of values that say how images are read."""

from __future__ import annotations

from collections.abc import Sequence

from gan_lightning.utils.checks import check_int, check_ints


def check_size(value: int | Sequence[int]) -> tuple[int, int]:
    """Return height and width of data.image_size, a number or [height, width]; else a ValueError."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        size = check_ints("data.image_size", value, minimum=1)
        if len(size) != 2:
            raise ValueError(f"data.image_size must be a number or [height, width], not {list(value)}")
        return size[0], size[1]
    side = check_int("data.image_size", value)
    return side, side


def check_choice(key: str, value: object, choices: Sequence[str]) -> None:
    """Raise a ValueError for a value that is none of `choices`."""
    if value not in choices:
        raise ValueError(f"{key} must be {', '.join(choices[:-1])} or {choices[-1]}, not {value!r}")


def check_reference(value: str | float) -> str | float:
    """Return data.reference, a text or a share as a float; else a ValueError."""
    if isinstance(value, str) and value:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise ValueError(f"data.reference must be train, test, a folder, or a share between 0 and 1, not {value!r}")
    return float(value)
