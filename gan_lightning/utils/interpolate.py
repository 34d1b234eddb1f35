"""Points between two vectors: on a line, and on the arc of a great circle."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

PARALLEL = 1e-6
"""Sine of an angle below which two vectors lie on one line, where a sphere has no one way from here to there."""


def lerp(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Return the points on the line, exact at both ends."""
    return start * (1 - share) + end * share


def slerp(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Return points on the arc of a great circle (White 2016, "Sampling Generative Networks", section 2.1).

    Gaussian noise of many dimensions lies near the sphere of radius sqrt(dim). The line between two samples leads
    through its inside, at half way to 1/sqrt(2) of the radius, where no noise of training ever was; the arc stays on
    it. Vectors on one line, as all of one dimension are, have no one arc: between them it is the line. Both ends are
    exact.

    Args:
        start: (batch, dim).
        end: (batch, dim).
        share: of the way, (batch, 1), from 0 to 1.
    """
    first, second = start.double(), end.double()
    cosine = cosine_similarity(first, second, dim=1).clamp(-1, 1)[:, None]
    angle, along = cosine.acos(), share.double()
    sine = angle.sin()
    on_line = sine < PARALLEL
    sine = sine.where(~on_line, 1.0)
    here = torch.where(on_line, 1 - along, (angle * (1 - along)).sin() / sine)
    there = torch.where(on_line, along, (angle * along).sin() / sine)
    return (first * here + second * there).to(start)
