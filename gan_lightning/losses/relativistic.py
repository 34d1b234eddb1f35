"""Losses of score differences: the discriminator says how much more real data are than fakes.

Both players' terms hold real and fake scores, so the generator's step scores a batch of data too. A constant added to
all scores changes nothing: they are no log-odds. Differences are taken in float32.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from gan_lightning.game import Objective, Round


class RelativisticPairing(Objective):
    """RpGAN: each real sample against the fake of the same index (Jolicoeur-Martineau 2018, there RSGAN).

    The order of a batch is random, and so are the pairs. With R1 and R2 it is R3GAN (Huang et al. 2024).
    """

    critic = True

    def discriminator(self, round: Round) -> Tensor:
        """Return -E log sigmoid(D(x) - D(G(z))), a scalar >= 0; log 2 where data and fakes score alike."""
        return softplus(round.fake_logits.float() - round.real_logits.float()).mean()

    def generator(self, round: Round) -> Tensor:
        """Return -E log sigmoid(D(G(z)) - D(x)), a scalar >= 0."""
        return softplus(round.real_logits.float() - round.fake_logits.float()).mean()


class RelativisticAverage(Objective):
    """RaGAN: each sample against the mean score of the other side (Jolicoeur-Martineau 2018, there RaSGAN).

    Gradients flow through the means too. These are over the samples of one forward pass, as in batch norm: several
    devices or micro-batches each compare with means of their own.
    """

    critic = True

    def discriminator(self, round: Round) -> Tensor:
        """Return -E log sigmoid(D(x) - E D(G(z))) - E log(1 - sigmoid(D(G(z)) - E D(x))), a scalar >= 0."""
        return compare(round.real_logits.float(), round.fake_logits.float())

    def generator(self, round: Round) -> Tensor:
        """Return the same with data and fakes exchanged, a scalar >= 0."""
        return compare(round.fake_logits.float(), round.real_logits.float())


def compare(better: Tensor, worse: Tensor) -> Tensor:
    """Return the cross-entropy of `better` above the mean of `worse` and vice versa; both are logits (batch,)."""
    return softplus(worse.mean() - better).mean() + softplus(worse - better.mean()).mean()
