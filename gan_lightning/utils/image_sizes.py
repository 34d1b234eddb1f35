"""Sizes of images that networks which halve and double can make. Without torch."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor

SMALLEST_MAPS = (4, 25)
"""The least and most pixels on a side of the smallest maps of convolutional networks: images have k * 2^n, n >= 2."""

LEAST_HALVINGS, MOST_HALVINGS = 2, 12

Range = tuple[int, int | None]
"""The least and most pixels on a side of the smallest maps; None: any number."""


def count_halvings(height: int, width: int, smallest: Range = SMALLEST_MAPS) -> int | None:
    """Return how often images are halved, as often as leaves sides within `smallest`; None where none does.

    Both sides are halved alike, at least twice, and every time without remainder.
    """
    fitting = [
        halvings
        for halvings in range(LEAST_HALVINGS, MOST_HALVINGS + 1)
        if all(side % 2**halvings == 0 and _within(side >> halvings, smallest) for side in (height, width))
    ]
    return max(fitting, default=None)


def nearest_sizes(height: int, width: int, smallest: Range = SMALLEST_MAPS) -> list[tuple[int, int]]:
    """Return the sizes that can be made nearest to one that cannot: the next smaller and the next larger one.

    Where none is smaller or larger on both sides, they are the nearest ones of all.
    """
    sizes = [
        (_scaled(rounded(height / 2**n), n, smallest), _scaled(rounded(width / 2**n), n, smallest))
        for n in range(LEAST_HALVINGS, MOST_HALVINGS + 1)
        for rounded in (floor, ceil)
    ]
    smaller = [size for size in sizes if size[0] <= height and size[1] <= width]
    larger = [size for size in sizes if size[0] >= height and size[1] >= width]
    near = [
        min(side or sizes, key=lambda size: abs(size[0] - height) + abs(size[1] - width)) for side in (smaller, larger)
    ]
    return list(dict.fromkeys(near))


def describe_sizes(smallest: Range = SMALLEST_MAPS) -> str:
    """Return what the sides of images must be, in words."""
    least, most = smallest
    k = f"from {least} to {most}" if most is not None else f"at least {least}"
    return f"sides of k * 2^n pixels (k {k}, n at least {LEAST_HALVINGS} and the same for both)"


def choose_size(sizes: Sequence[tuple[int, int]]) -> str:
    """Return ``data.image_size=48 or data.image_size=[48,96]`` for sizes (height, width)."""
    return " or ".join(f"data.image_size={h if h == w else f'[{h},{w}]'}" for h, w in sizes)


def _within(side: int, smallest: Range) -> bool:
    least, most = smallest
    return least <= side and (most is None or side <= most)


def _scaled(side: int, halvings: int, smallest: Range) -> int:
    least, most = smallest
    return max(least, side if most is None else min(side, most)) << halvings
