"""Sizes of images that networks which halve and double can make. Without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor
from typing import Any

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


def accepted_sizes(accepts: Mapping[str, Any], height: int, width: int) -> list[tuple[int, int]]:
    """Return the sizes of images that a model takes nearest to one: that itself where it takes it.

    Args:
        accepts: the fact of conf/model: `image_sizes`, sides of squares, or `smallest_maps`; neither: any size.
        height: in pixels.
        width: in pixels.
    """
    if "image_sizes" in accepts:
        sizes = [(side, side) for side in accepts["image_sizes"]]
        return [(height, width)] if (height, width) in sizes else sizes
    smallest = smallest_of(accepts)
    if smallest is None or count_halvings(height, width, smallest) is not None:
        return [(height, width)]
    return nearest_sizes(height, width, smallest)


def smallest_of(accepts: Mapping[str, Any]) -> Range | None:
    """Return the least and most pixels of the smallest maps by the fact of a model; None where it has none."""
    smallest = accepts.get("smallest_maps")
    return None if smallest is None else (smallest[0], smallest[1])


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
