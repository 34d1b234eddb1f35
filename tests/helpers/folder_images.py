"""What the images that the fixture `write_images` writes look like."""

from __future__ import annotations

from torch import Tensor


def pixel(images: Tensor) -> list[tuple[int, ...]]:
    """Return the one colour of each image, as tuples of 0..255."""
    return [tuple(image) for image in ((images[:, :, 4, 4] + 1) * 127.5).round().int().tolist()]
