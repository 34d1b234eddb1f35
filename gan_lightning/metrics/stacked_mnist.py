"""Which of the thousand modes of stacked digits a generator has found."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gan_lightning.extractors.base import Extractor, Features
from gan_lightning.extractors.digits import StackedDigits
from gan_lightning.metrics.base import FeatureMetric
from gan_lightning.metrics.divergence import entropy, kullback_leibler

DIGITS = 10


class StackedModes(FeatureMetric):
    """The modes of stacked digits, after Metz et al. 2017, section 3.3.1, and Lin et al. 2018, "PacGAN", section 4.2.

    A classifier reads the digit of each channel, of real images and of fakes. `compute` gives

    - `modes`: modes with at least one fake, of 1 000.
    - `kl`: KL(fakes || data) in nats of their shares of the modes. A mode's share of the data is the product of the
      shares of its digits in the three channels, which are independent in the data; infinite where a digit of the fakes
      is not in the data. Of N fakes as good as the data it is about 999 / 2N: .019 for 26 000.
    - `kl_uniform`: KL of the fakes' shares from 1/1000 each, as the code of PacGAN computes it; .009 more for fakes as
      good as the data, since digits are not equally frequent.

    Args:
        extractor: that reads them; None: the classifier that comes with the package.
    """

    keys = ("modes", "kl", "kl_uniform")

    real_digits: Tensor
    """Real images by channel (row) and digit (column)."""

    fake_modes: Tensor

    def __init__(self, extractor: Extractor | None = None) -> None:
        extractor = extractor or StackedDigits()
        if extractor.num_classes != DIGITS**3:
            raise ValueError(
                f"modes of stacked digits are read by extractor=stacked_digits, not by {extractor.fingerprint}"
            )
        super().__init__(extractor)
        self.config = {"modes": DIGITS**3, "data": "product of the shares of digits in each channel"}
        self.add_state("real_digits", torch.zeros(3, DIGITS, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("fake_modes", torch.zeros(DIGITS**3, dtype=torch.int64), dist_reduce_fx="sum")

    def accumulate_features(self, features: Features, real: bool) -> None:
        """Take the modes that a batch is read as."""
        assert features.logits is not None  # the extractor has classes
        modes = torch.bincount(features.logits.argmax(dim=1), minlength=DIGITS**3)
        if real:
            by_digits = modes.reshape(DIGITS, DIGITS, DIGITS)
            self.real_digits += torch.stack([by_digits.sum(others) for others in ((1, 2), (0, 2), (0, 1))])
        else:
            self.fake_modes += modes

    def compute(self) -> dict[str, float]:
        """Return the numbers described above.

        Raises:
            ValueError: there are no fakes, or no real images.
        """
        if not self.fake_modes.sum():
            raise ValueError(f"{' and '.join(self.keys)}: needs at least one fake: raise metrics.num_fakes")
        if not self.real_digits.sum():
            raise ValueError(f"{' and '.join(self.keys)}: needs real images to compare with")
        red, green, blue = self.real_digits.double() / self.real_digits.sum(dim=1, keepdim=True)
        data = torch.einsum("a,b,c->abc", red, green, blue).flatten()
        shares = self.fake_modes.double() / self.fake_modes.sum()
        return {
            "modes": float((self.fake_modes > 0).sum()),
            "kl": kullback_leibler(shares, data),
            "kl_uniform": max(0.0, math.log(DIGITS**3) - entropy(shares)),
        }
