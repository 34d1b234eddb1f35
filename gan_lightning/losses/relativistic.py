"""Losses of score differences: the discriminator says how much more real data is than fakes, never how real one is.

Both players' terms hold real and fake scores, so the generator's turn judges a batch of data too. A constant added to
all scores changes nothing: they are no log-odds. Differences are taken in float32.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from gan_lightning.game import Objective, Round


class RelativisticPairing(Objective):
    """RpGAN: each real sample against the fake of the same index (Jolicoeur-Martineau 2018, there RSGAN).

    The order of a batch is random, so the pairs are. With R1 and R2 it is R3GAN (Huang et al. 2024).
    """

    def discriminator(self, round: Round) -> Tensor:
        """-E log sigmoid(D(x) - D(G(z))), a scalar >= 0; log 2 where data and fakes score alike."""
        return softplus(round.fake_logits.float() - round.real_logits.float()).mean()

    def generator(self, round: Round) -> Tensor:
        """-E log sigmoid(D(G(z)) - D(x)), a scalar >= 0."""
        return softplus(round.real_logits.float() - round.fake_logits.float()).mean()


class RelativisticAverage(Objective):
    """RaGAN: each sample against the mean score of the other side (Jolicoeur-Martineau 2018, there RaSGAN).

    Gradients go through the means too. They are those of the samples that a device judges at once, as in batch norm:
    several devices or micro-batches each compare with means of their own.
    """

    def discriminator(self, round: Round) -> Tensor:
        """-E log sigmoid(D(x) - E D(G(z))) - E log(1 - sigmoid(D(G(z)) - E D(x))), a scalar >= 0."""
        return compare(round.real_logits.float(), round.fake_logits.float())

    def generator(self, round: Round) -> Tensor:
        """The same with data and fakes exchanged, a scalar >= 0."""
        return compare(round.fake_logits.float(), round.real_logits.float())


def compare(better: Tensor, worse: Tensor) -> Tensor:
    """Cross-entropy of `better` above the mean of `worse`, and of `worse` below that of `better`; logits (batch,)."""
    return softplus(worse.mean() - better).mean() + softplus(worse - better.mean()).mean()
