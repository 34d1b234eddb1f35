"""Which modes of a Gaussian mixture a generator has found, and how well it makes them."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import Tensor

from gan_lightning.data.distributions import GaussianMixture
from gan_lightning.metrics.base import SampleMetric
from gan_lightning.metrics.divergence import entropy, jensen_shannon

RADIUS = 3.0  # in standard deviations of a mode: what is called high quality


class MixtureQuality(SampleMetric):
    """Mode coverage on a mixture of equal Gaussians, after Lin et al. 2018, 'PacGAN', section 4.1.

    A sample belongs to the mode whose centre is nearest, and is near it within 3 standard deviations. `compute` gives

    - `modes`: modes with at least one sample near.
    - `high_quality`: share of samples near their mode. The truth has 1 - exp(-9/2) = .9889 in two dimensions; more
      means modes that are too narrow.
    - `reverse_kl`: KL of the modes' shares of the near samples from the uniform distribution, in nats, in [0, log
      modes]; log modes where no sample is near. So do the paper and its authors' code count.
    - `reverse_kl_all`: the same of all samples, each counted to the mode that is nearest, however far.
    - `sigma_ratio`: measured over true standard deviation of a mode, averaged over the modes with two samples near; 0
      when there is none. Measured about the samples' own mean, so that a mode shrunk to a point away from its centre
      counts as narrow. Only near samples are measured, which cuts the tails off: the ratio is that of the Gaussian
      which has the measured variance after the cut. It reads 3 at most, where near samples are spread evenly.
    - `jsd`: Jensen-Shannon divergence in nats, in [0, log 2], of the modes' shares of the near samples from the uniform
      distribution, as in the authors' code; log 2 where no sample is near.
    - `jsd_all`: the same of all samples from the truth over the cells 'near mode k' and 'near none': one number that
      missing modes, unequal modes and bad samples all make worse.

    Args:
        distribution: the truth. Its modes should stand at least 6 standard deviations apart.
    """

    keys = ("modes", "high_quality", "reverse_kl", "reverse_kl_all", "sigma_ratio", "jsd", "jsd_all")

    centers: Tensor
    fake_assigned: Tensor
    fake_near: Tensor
    fake_offsets: Tensor
    fake_squares: Tensor

    def __init__(self, distribution: GaussianMixture) -> None:
        super().__init__()
        self.std = distribution.std
        self.register_buffer("centers", distribution.centers.clone(), persistent=False)
        modes, dim = distribution.centers.shape
        self.config = {"modes": modes, "std": distribution.std, "centers": digest(distribution.centers)}
        for name in ("fake_assigned", "fake_near"):
            self.add_state(name, torch.zeros(modes, dtype=torch.int64), dist_reduce_fx="sum")
        # Sums over the near samples of (sample - centre) / std and of its square, for their variance.
        self.add_state("fake_offsets", torch.zeros(modes, dim, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("fake_squares", torch.zeros(modes, dtype=torch.float64), dist_reduce_fx="sum")

    def accumulate(self, samples: Tensor, real: bool) -> None:
        """Take fakes (batch, dim). Real samples are passed over: the truth is known.

        Raises:
            ValueError: the samples have another number of coordinates than the modes.
        """
        modes, dim = self.centers.shape
        if samples.ndim != 2 or samples.shape[1] != dim:
            raise ValueError(f"the metrics of this mixture read samples (batch, {dim}), not {tuple(samples.shape)}")
        if real:
            return
        offsets = (samples.double().unsqueeze(1) - self.centers.double()) / self.std
        squares, mode = offsets.square().sum(dim=2).min(dim=1)
        offsets = offsets[torch.arange(len(mode), device=mode.device), mode]
        near = squares <= RADIUS**2
        self.fake_assigned += torch.bincount(mode, minlength=modes)
        self.fake_near += torch.bincount(mode[near], minlength=modes)
        self.fake_offsets.index_add_(0, mode[near], offsets[near])
        self.fake_squares.index_add_(0, mode[near], squares[near])

    def compute(self) -> dict[str, float]:
        """Return the numbers described above.

        Raises:
            ValueError: there are no fakes.
        """
        count = self.fake_assigned.sum()
        if count == 0:
            raise ValueError("the metrics of a mixture need at least one fake: raise metrics.num_fakes")
        modes, dim = self.centers.shape
        near = self.fake_near.double() / count
        counted = near / near.sum() if near.any() else near  # of no near sample the entropy is 0, as of one mode
        truly_near = chi_square_cdf(near.new_tensor(RADIUS**2), dim).item()
        return {
            "modes": float((self.fake_near > 0).sum()),
            "high_quality": near.sum().item(),
            "reverse_kl": max(0.0, math.log(modes) - entropy(counted)),
            "reverse_kl_all": max(0.0, math.log(modes) - entropy(self.fake_assigned.double() / count)),
            "sigma_ratio": self.sigma_ratio(),
            "jsd": jensen_shannon(counted, torch.full_like(near, 1 / modes)) if near.any() else math.log(2),
            "jsd_all": jensen_shannon(with_rest(near), with_rest(torch.full_like(near, truly_near / modes))),
        }

    def sigma_ratio(self) -> float:
        """Return the `sigma_ratio` that the class describes."""
        several = self.fake_near >= 2
        if not several.any():
            return 0.0
        dim = self.centers.shape[1]
        count = self.fake_near[several]
        spread = self.fake_squares[several] - self.fake_offsets[several].square().sum(dim=1) / count
        variance = spread.clamp_min(0.0) / (dim * (count - 1))
        return width_before_cut(variance, dim).mean().item()


def digest(centers: Tensor) -> str:
    """Return a few characters that stand for `centers`, alike on machines that differ in the last bits."""
    rounded = np.round(centers.double().cpu().numpy(), 5) + 0.0  # + 0.0: no negative zeros
    return hashlib.sha256(f"{rounded.tolist()}".encode()).hexdigest()[:8]


def width_before_cut(variance: Tensor, dim: int) -> Tensor:
    """Return the standard deviation, up to `RADIUS`, of the centred Gaussian that has `variance` when cut off there.

    Cut off at radius r, N(0, s² I) has in each direction the variance s² P(X_{dim+2} <= r²/s²) / P(X_dim <= r²/s²), X_k
    being chi-square with k degrees of freedom. That grows with s, so it is inverted by a table.

    Args:
        variance: in each direction, (n,).
        dim: number of directions.
    """
    widths = torch.linspace(0.0, RADIUS, 3001, dtype=torch.float64)
    reach = (RADIUS / widths).square()
    variances = widths.square() * chi_square_cdf(reach, dim + 2) / chi_square_cdf(reach, dim)
    return torch.from_numpy(np.interp(variance.cpu().numpy(), variances.numpy(), widths.numpy()))


def chi_square_cdf(x: Tensor, degrees: int) -> Tensor:
    """Return P(X <= x) of the chi-square distribution: the share of a `degrees`-dimensional Gaussian within √x."""
    return torch.special.gammainc(torch.full_like(x, degrees / 2), x / 2)


def with_rest(shares: Tensor) -> Tensor:
    """Return `shares` (cells,) with one further cell for what they lack to 1."""
    return torch.cat([shares, (1.0 - shares.sum()).clamp_min(0.0).unsqueeze(0)])
