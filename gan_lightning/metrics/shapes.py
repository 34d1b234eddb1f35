"""Images of `data=shapes`, read without a network: which shape, which hue, how large, where."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from gan_lightning.data.shapes import AREAS, CENTRES, HUES, RADII, SHAPES, coverage, rgb_to_hue
from gan_lightning.metrics.base import SampleMetric

LEAST_OVERLAP = 0.9
"""Intersection over union with the best of the ideal shapes from which on an image counts as a shape."""

HUE_BINS = 36
SIZE_BINS = 4
PLACES = 3
"""Rows, and columns, of the grid of positions."""


class Reading(NamedTuple):
    """What images show, as far as it can be read; each field is (count,), units as in `data.shapes.Factors`.

    Attributes:
        overlap: intersection over union of what is seen with the ideal shape of the same area and centre, in [0, 1].
    """

    shape: Tensor
    hue: Tensor
    radius: Tensor
    x: Tensor
    y: Tensor
    background: Tensor
    overlap: Tensor


def read_shapes(images: Tensor) -> Reading:
    """Read the factors of images (count, 3, size, size) in [-1, 1] in closed form.

    The background is the median of the border; the shape's colour is the mean of the pixels that differ most from it;
    what a pixel has of that colour is its coverage, with edges made sharper, see `sharpened`. Area and centre follow,
    and of the four ideal shapes with that area and centre the one with the largest intersection over union is what the
    image shows. 2 000 held-out drawings of 32 pixels: every shape right, hue within .002, radius .01, centre .008.
    """
    pixels = (images.float() + 1) / 2
    border = torch.cat([pixels[:, :, 0], pixels[:, :, -1], pixels[:, :, 1:-1, 0], pixels[:, :, 1:-1, -1]], dim=2)
    background = border.median(dim=2).values
    offsets = pixels - background[:, :, None, None]
    distance = offsets.norm(dim=1).flatten(1)
    foremost = distance >= 0.8 * distance.quantile(0.99, dim=1, keepdim=True).clamp(min=1e-6)
    weights = foremost / foremost.sum(1, keepdim=True).clamp(min=1)
    colour = torch.einsum("ncp,np->nc", pixels.flatten(2), weights)
    along = colour - background
    seen = torch.einsum("nchw,nc->nhw", offsets, along) / along.square().sum(1).clamp(min=1e-6)[:, None, None]
    seen = sharpened(seen)

    size = images.shape[-1]
    centres = (torch.arange(size, device=images.device) + 0.5) / size
    mass = seen.sum((1, 2)).clamp(min=1e-6)
    x = (seen.sum(1) * centres).sum(1) / mass
    y = (seen.sum(2) * centres).sum(1) / mass
    radii, overlaps = [], []
    for shape, area in enumerate(AREAS):
        kind = torch.full_like(mass, shape, dtype=torch.int64)
        radius = (mass / size**2 / area).sqrt()
        ideal = sharpened(coverage(kind, radius, x, y, size))
        radius = radius * (mass / ideal.sum((1, 2)).clamp(min=1e-6)).sqrt()  # sharper corners take some of the area
        ideal = sharpened(coverage(kind, radius, x, y, size))
        union = torch.maximum(seen, ideal).sum((1, 2)).clamp(min=1e-6)
        overlaps.append(torch.minimum(seen, ideal).sum((1, 2)) / union)
        radii.append(radius)
    overlap, best = torch.stack(overlaps, dim=1).max(dim=1)
    radius = torch.stack(radii, dim=1).gather(1, best[:, None]).squeeze(1)
    return Reading(best, rgb_to_hue(colour), radius, x, y, background.mean(1), overlap)


def sharpened(coverage: Tensor) -> Tensor:
    """Return coverage with edges half as wide, in [0, 1]: up to a quarter counts as none, from three quarters as whole.

    Otherwise noise of a fiftieth of the range, which the eye does not see, would hide half of the real shapes, and
    every soft edge would count against a shape that is plain to see.
    """
    return (2 * coverage - 0.5).clamp(0, 1)


def mutual_information(counts: Tensor) -> float:
    """Return the mutual information in nats of a table of counts (rows, columns), less its bias in small samples.

    The bias of independent factors is (rows - 1)(columns - 1) / 2n (Miller 1955); the result is at least 0.
    """
    total = counts.sum()
    if not total:
        return 0.0
    joint = counts.double() / total
    apart = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    cells = joint > 0
    information = (joint[cells] * (joint[cells] / apart[cells]).log()).sum()
    rows, columns = (int((counts.sum(axis) > 0).sum()) for axis in (1, 0))
    return max(float(information - (rows - 1) * (columns - 1) / (2 * total)), 0.0)


class ShapeQuality(SampleMetric):
    """How well fakes show coloured shapes, and whether all combinations come and the factors stay independent.

    `compute` gives

    - `readable`: share of fakes that overlap an ideal shape by at least `LEAST_OVERLAP`, in [0, 1]; real images .99.
    - `shape_entropy`: entropy of the shapes of readable fakes over its largest value, in [0, 1].
    - `coverage`: share of the 20 combinations of shape and colour that are among the readable fakes.
    - `hue_distance`: total variation distance of the fakes' hues from the reference images', in 36 bins, in [0, 1].
    - `dependence`: largest mutual information in nats of two of shape, colour, size and position, 0 where they are
      independent, as they are in the data.
    """

    keys = ("readable", "shape_entropy", "coverage", "hue_distance", "dependence")

    real_hues: Tensor
    fake_hues: Tensor
    fake_cells: Tensor
    fake_count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("real_hues", torch.zeros(HUE_BINS, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("fake_hues", torch.zeros(HUE_BINS, dtype=torch.int64), dist_reduce_fx="sum")
        cells = (len(SHAPES), len(HUES), SIZE_BINS, PLACES**2)
        self.add_state("fake_cells", torch.zeros(cells, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("fake_count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def accumulate(self, samples: Tensor, real: bool) -> None:
        """Take images (batch, 3, size, size) in [-1, 1]."""
        if samples.ndim != 4 or samples.shape[1] != 3:
            raise ValueError(f"metrics=shapes reads colour images (batch, 3, size, size), not {tuple(samples.shape)}")
        reading = read_shapes(samples)
        readable = reading.overlap >= LEAST_OVERLAP
        hues = torch.bincount((reading.hue[readable] * HUE_BINS).long() % HUE_BINS, minlength=HUE_BINS)
        if real:
            self.real_hues += hues
            return
        self.fake_hues += hues
        self.fake_count += len(samples)
        place = binned(reading.y, CENTRES, PLACES) * PLACES + binned(reading.x, CENTRES, PLACES)
        factors = (reading.shape, nearest_colour(reading.hue), binned(reading.radius, RADII, SIZE_BINS), place)
        index = torch.zeros_like(reading.shape)
        for factor, options in zip(factors, self.fake_cells.shape, strict=True):
            index = index * options + factor
        self.fake_cells += torch.bincount(index[readable], minlength=self.fake_cells.numel()).view_as(self.fake_cells)

    def compute(self) -> dict[str, float]:
        if not self.fake_count:
            raise ValueError("metrics=shapes needs at least one fake: raise metrics.num_fakes")
        shapes = self.fake_cells.sum((1, 2, 3)).double()
        shares = shapes / shapes.sum().clamp(min=1)
        entropy = -(shares[shares > 0] * shares[shares > 0].log()).sum()
        combinations = self.fake_cells.sum((2, 3)) > 0
        real, fake = (hues.double() / hues.sum().clamp(min=1) for hues in (self.real_hues, self.fake_hues))
        factors = range(self.fake_cells.ndim)
        pairs = [(a, b) for a in factors for b in factors if a < b]
        tables = [self.fake_cells.sum([axis for axis in factors if axis not in pair]) for pair in pairs]
        return {
            "readable": float(shapes.sum() / self.fake_count),
            "shape_entropy": abs(float(entropy)) / math.log(len(SHAPES)),
            "coverage": float(combinations.double().mean()),
            "hue_distance": float((real - fake).abs().sum() / 2),
            "dependence": max(mutual_information(table) for table in tables),
        }


def nearest_colour(hue: Tensor) -> Tensor:
    """Return the index into `HUES` of the colour nearest to each hue on the colour circle."""
    distance = (hue[:, None] - torch.tensor(list(HUES.values()), device=hue.device)).abs()
    return torch.minimum(distance, 1 - distance).argmin(1)


def binned(values: Tensor, limits: tuple[float, float], bins: int) -> Tensor:
    """Return which of `bins` equal parts of the range `limits` each value lies in; beyond it, the outermost."""
    low, high = limits
    return ((values - low) / (high - low) * bins).long().clamp(0, bins - 1)


class ShapeLabels(SampleMetric):
    """Whether conditional fakes show what their label names, and which factor a learned code stands for.

    Labels are those of the latents: shapes of a class-conditional generator, or the categories of InfoGAN. `compute`
    gives

    - `shape_accuracy`: share of fakes whose shape is the one that their label names, in [0, 1]; .25 is chance. It
      means something where labels are shapes.
    - `shape_information`, `colour_information`, `size_information`: mutual information in nats of the label with what
      is read; log 4 = 1.39 where the label alone decides the shape, log 5 = 1.61 the colour.

    Args:
        num_labels: how many labels there may be.
    """

    keys = ("shape_accuracy", "shape_information", "colour_information", "size_information")
    needs_labels = True

    fake_cells: Tensor

    def __init__(self, num_labels: int = 100) -> None:
        super().__init__()
        cells = (num_labels, len(SHAPES), len(HUES), SIZE_BINS)
        self.add_state("fake_cells", torch.zeros(cells, dtype=torch.int64), dist_reduce_fx="sum")

    def accumulate(self, samples: Tensor, real: bool) -> None:
        """Take nothing of real images, and of fakes without a label."""

    def accumulate_labelled(self, samples: Tensor, labels: Tensor, real: bool) -> None:
        """Take fakes (batch, 3, size, size) in [-1, 1] and their labels (batch,)."""
        if real:
            return
        if labels.ndim != 1 or (labels >= len(self.fake_cells)).any():
            raise ValueError(f"metrics of shapes take one label below {len(self.fake_cells)} for each fake")
        reading = read_shapes(samples)
        factors = (labels, reading.shape, nearest_colour(reading.hue), binned(reading.radius, RADII, SIZE_BINS))
        index = torch.zeros_like(labels)
        for factor, options in zip(factors, self.fake_cells.shape, strict=True):
            index = index * options + factor
        self.fake_cells += torch.bincount(index, minlength=self.fake_cells.numel()).view_as(self.fake_cells)

    def compute(self) -> dict[str, float]:
        by_shape = self.fake_cells.sum((2, 3))
        if not by_shape.sum():
            raise ValueError("metrics of shapes need at least one fake with a label: raise metrics.num_fakes")
        return {
            "shape_accuracy": float(by_shape[: len(SHAPES)].trace() / by_shape.sum()),
            "shape_information": mutual_information(by_shape),
            "colour_information": mutual_information(self.fake_cells.sum((1, 3))),
            "size_information": mutual_information(self.fake_cells.sum((1, 2))),
        }
