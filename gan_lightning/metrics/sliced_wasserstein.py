"""A distance between pixel distributions that needs no network, hence no download."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_lightning.metrics.base import SampleMetric, concatenated
from gan_lightning.randomness import generator_for


def wasserstein_1d(a: Tensor, b: Tensor, order: float) -> Tensor:
    """Return the mean of |difference|^order under the optimal coupling of two samples on a line, for each column.

    On a line the optimal coupling pairs equal quantiles. The quantile function of n points is a staircase with n equal
    steps; between the union of both stairs' breaks the difference is constant, so samples of unequal size need neither
    interpolation nor thinning.

    Args:
        a: (n, columns).
        b: (m, columns), m not necessarily n.
        order: the cost's exponent, at least 1.

    Returns:
        (columns,) of float64: the Wasserstein distance of that order, to the power `order`.
    """
    a, b = a.double().sort(dim=0).values, b.double().sort(dim=0).values
    if len(a) == len(b):
        return (a - b).abs().pow(order).mean(dim=0)
    # Whole numbers, so that breaks that coincide are equal: level i/n of a stands at i*m, level j/m of b at j*n.
    breaks = torch.cat([torch.arange(len(a) + 1) * len(b), torch.arange(len(b) + 1) * len(a)]).unique().to(a.device)
    widths, starts = breaks.diff(), breaks[:-1]
    difference = a[starts // len(b)] - b[starts // len(a)]
    return (widths.unsqueeze(1) * difference.abs().pow(order)).sum(dim=0) / (len(a) * len(b))


class SlicedWasserstein(SampleMetric):
    """Sliced 2-Wasserstein distance between fakes and real samples, as vectors of raw values.

    Rabin et al. 2011, 'Wasserstein Barycenter and its Application to Texture Mixing', and Bonneel et al. 2015, 'Sliced
    and Radon Wasserstein Barycenters of Measures': the root of the mean, over directions on the unit sphere, of the
    squared 2-Wasserstein distance between the two samples' projections on the direction. The directions are drawn from
    a fixed seed, so two runs measure the same thing. A shift of everything by a vector v gives about |v| / sqrt(dim).

    It sees colours, brightness and coarse layout, and hardly any texture: use it to follow a run, not to rank models.

    `compute` gives `swd`, in units of the samples.

    Args:
        projections: number of directions, at least 1.
    """

    keys = ("swd",)

    real_projected: list[Tensor]
    fake_projected: list[Tensor]

    def __init__(self, projections: int = 128) -> None:
        super().__init__()
        if projections < 1:
            raise ValueError(f"the sliced Wasserstein distance needs at least 1 projection, not {projections}")
        self.projections = projections
        self._directions: Tensor | None = None
        self.config = {"projections": projections}
        self.add_list_state("real_projected")
        self.add_list_state("fake_projected")

    def directions(self, dim: int) -> Tensor:
        """Return unit vectors (dim, projections), uniform on the sphere; float32, on the CPU."""
        if self._directions is None or len(self._directions) != dim:
            rng = generator_for("sliced_wasserstein")
            self._directions = F.normalize(torch.randn(dim, self.projections, generator=rng), dim=0)
        return self._directions

    def accumulate(self, samples: Tensor, real: bool) -> None:
        """Take samples (batch, ...) of any shape, the same for real and fake."""
        flat = samples.flatten(start_dim=1)
        projected = (flat @ self.directions(flat.shape[1]).to(flat.device)).flatten()
        (self.real_projected if real else self.fake_projected).append(projected)

    def compute(self) -> dict[str, float]:
        """Return the distance over all samples; a ValueError if there are none of a kind."""
        real = concatenated(self.real_projected, self.projections)
        fake = concatenated(self.fake_projected, self.projections)
        if not len(real) or not len(fake):
            raise ValueError("the sliced Wasserstein distance needs real and fake samples, and one kind is missing")
        return {"swd": wasserstein_1d(fake, real, order=2.0).mean().sqrt().item()}
