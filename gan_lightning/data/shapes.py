"""Coloured shapes, drawn from a seed: images whose every factor of variation is known."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gan_lightning.data.image_data import ImageData, Images
from gan_lightning.utils.checks import check_int

SHAPES = ("circle", "square", "triangle", "cross")
"""Names of the classes, in the order of their labels."""

HUES = {"red": 0.0, "yellow": 1 / 6, "green": 1 / 3, "blue": 0.6, "violet": 0.8}
"""The hues that are drawn, as shares of the colour circle."""

HUE_JITTER = 0.02
"""Largest distance of a drawn hue from its colour's, as a share of the colour circle."""

RADII = (0.16, 0.36)
"""Smallest and largest radius of a shape's circumscribed circle, as shares of the image's side."""

CENTRES = (RADII[1], 1 - RADII[1])
"""Where centres lie, as shares of the image's side: every shape lies whole within the image, whatever its size."""

BACKGROUNDS = (0.0, 0.35)
"""Darkest and lightest grey behind a shape; 1 is white."""

CROSS_ARM = 1 / 3
"""Half the width of a cross's arms, as a share of half its length."""


class Factors(NamedTuple):
    """What an image shows; each field is (count,).

    Attributes:
        shape: index into `SHAPES`, int64.
        hue: share of the colour circle, in [0, 1).
        radius: of the circumscribed circle, as a share of the image's side.
        x: of the centre, from the left, as a share of the image's side.
        y: of the centre, from the top, likewise.
        background: grey level, in [0, 1].
    """

    shape: Tensor
    hue: Tensor
    radius: Tensor
    x: Tensor
    y: Tensor
    background: Tensor


def draw_factors(count: int, rng: torch.Generator) -> Factors:
    """Draw `count` independent factors; each shape and each colour is equally likely."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(count, generator=rng) * (high - low) + low

    shape = torch.randint(len(SHAPES), (count,), generator=rng)
    colour = torch.tensor(list(HUES.values()))[torch.randint(len(HUES), (count,), generator=rng)]
    hue = (colour + uniform(-HUE_JITTER, HUE_JITTER)) % 1.0
    radius, background = uniform(*RADII), uniform(*BACKGROUNDS)
    x, y = uniform(*CENTRES), uniform(*CENTRES)
    return Factors(shape, hue, radius, x, y, background)


def render(factors: Factors, size: int) -> Tensor:
    """Draw images of `size` pixels, (count, 3, size, size) of float32 in [0, 1], with smooth edges."""
    cover = coverage(factors.shape, factors.radius, factors.x, factors.y, size)[:, None]
    return hue_to_rgb(factors.hue)[:, :, None, None] * cover + factors.background[:, None, None, None] * (1 - cover)


def coverage(shape: Tensor, radius: Tensor, x: Tensor, y: Tensor, size: int) -> Tensor:
    """Return how much of each pixel a shape covers, (count, size, size) in [0, 1]; arguments as in `Factors`."""
    centres = (torch.arange(size, device=radius.device) + 0.5) / size
    across = (centres[None, None, :] - x[:, None, None]) / radius[:, None, None]
    down = (centres[None, :, None] - y[:, None, None]) / radius[:, None, None]
    distance = signed_distance(shape[:, None, None], across, down)
    # An edge is one pixel wide.
    return (0.5 - distance * radius[:, None, None] * size).clamp(0, 1)


def signed_distance(shape: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Return the distance of points from the edge of a shape with a circumscribed circle of radius 1; negative inside.

    Exact along the edges; beyond corners it is that of the nearer edge's line, which only rounds a corner's pixel.
    """
    circle = (across.square() + down.square()).sqrt() - 1
    half = math.sqrt(0.5)
    square = torch.maximum(across.abs(), down.abs()) - half
    # An equilateral triangle that stands on its base: three edges, half a radius from the centre.
    slanted = across.abs() * math.sqrt(0.75) - down * 0.5
    triangle = torch.maximum(slanted, down) - 0.5
    length = 1 / math.sqrt(1 + CROSS_ARM**2)
    long, wide = torch.maximum(across.abs(), down.abs()), torch.minimum(across.abs(), down.abs())
    cross = torch.maximum(long - length, wide - CROSS_ARM * length)
    options = torch.stack(torch.broadcast_tensors(circle, square, triangle, cross))
    return options.gather(0, shape.expand(options.shape[1:])[None]).squeeze(0)


AREAS = (math.pi, 2.0, 3 * math.sqrt(3) / 4, 4 * CROSS_ARM * (2 - CROSS_ARM) / (1 + CROSS_ARM**2))
"""Of the shapes with a circumscribed circle of radius 1, in the order of `SHAPES`."""


def hue_to_rgb(hue: Tensor) -> Tensor:
    """Return the saturated colours (count, 3) in [0, 1] of hues (count,) in [0, 1)."""
    offsets = torch.tensor([0.0, 2.0, 4.0], device=hue.device)
    return ((hue[:, None] * 6 - offsets + 3) % 6 - 3).abs().neg().add(2).clamp(0, 1)


def rgb_to_hue(rgb: Tensor) -> Tensor:
    """Return the hues (count,) in [0, 1) of colours (count, 3); 0 for a grey."""
    red, green, blue = rgb.unbind(1)
    highest, lowest = rgb.amax(1), rgb.amin(1)
    spread = (highest - lowest).clamp(min=1e-6)
    sector = torch.where(
        highest == red,
        (green - blue) / spread,
        torch.where(highest == green, 2 + (blue - red) / spread, 4 + (red - green) / spread),
    )
    return torch.where(highest - lowest > 1e-6, sector / 6 % 1.0, torch.zeros_like(highest))


class Shapes(ImageData):
    """Circles, squares, triangles and crosses in five colours on grey, drawn when they are first wanted.

    Args:
        train_size: images to train on.
        test_size: images to test with, drawn from another stream.
        image_data: arguments of `ImageData`; `image_size` is the size they are drawn at.
    """

    def __init__(self, *, train_size: int, test_size: int, image_size: int, **image_data: Any) -> None:
        super().__init__(image_size=image_size, **image_data)
        self.train_size = check_int("data.train_size", train_size)
        self.test_size = check_int("data.test_size", test_size)

    def read(self, train: bool) -> Images:
        """Draw the images; the same ones whatever the run's seed."""
        rng = torch.Generator().manual_seed(0 if train else 1)
        factors = draw_factors(self.train_size if train else self.test_size, rng)
        assert self.image_size is not None
        chunks = [
            render(Factors(*(values[start : start + 1000] for values in factors)), self.image_size)
            for start in range(0, len(factors.shape), 1000)
        ]
        return Images(torch.cat([chunk.mul(255).round().to(torch.uint8) for chunk in chunks]), factors.shape)
