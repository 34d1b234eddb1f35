"""Losses of energies: the discriminator gives each sample an energy >= 0, low for real.

The energy is the reconstruction error of an autoencoder, see `gan_lightning.models.autoencoder`. Energies are cast
to float32 first, so that under autocast only the networks run in half precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import relu

from gan_lightning.game import DiscriminatorOutput, Objective, Round


@dataclass
class EnergyOutput(DiscriminatorOutput):
    """Output of a discriminator whose logits are minus energies, so that higher still means more real."""

    @property
    def energies(self) -> Tensor:
        """One energy a sample, (batch,) of float32, each at least 0."""
        return -self.logits.float()


def energies(output: DiscriminatorOutput) -> Tensor:
    """Return the energies of `output`, (batch,); a ValueError if the discriminator gives scores."""
    if not isinstance(output, EnergyOutput):
        raise ValueError(
            "this loss needs a discriminator that gives energies: choose model=autoencoder, without a variant that "
            "gives it a head of its own, such as acgan or infogan"
        )
    return output.energies


class EnergyBased(Objective):
    """EBGAN: low energy for data, at least `margin` for fakes (Zhao et al. 2017, eq. 1 and 2).

    The margin applies to each fake by itself: one above it has no loss, however low the others are. With the
    regularizer `pull_away` it is EBGAN-PT.

    Args:
        margin: m, above 0, in units of energy. It must be above the energy of data, or nothing is learned.
    """

    critic = True

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        if not margin > 0:
            raise ValueError(f"loss.objectives.adversarial.margin must be above 0, not {margin}")
        self.margin = margin

    def discriminator(self, round: Round) -> Tensor:
        """Return E L(x) + E max(0, m - L(G(z))), a scalar >= 0."""
        return energies(round.real_output).mean() + relu(self.margin - energies(round.fake_output)).mean()

    def generator(self, round: Round) -> Tensor:
        """Return E L(G(z)), a scalar >= 0."""
        return energies(round.fake_output).mean()


class BoundaryEquilibrium(Objective):
    """BEGAN: energies of fakes held at a fraction of those of data (Berthelot et al. 2017, section 3.4).

    k, the weight of the fakes in the discriminator's loss, is moved after each of its updates so that E L(G(z)) tends
    to gamma E L(x). The same two means, over the whole batch of all devices, make the measure of convergence
    M = E L(x) + |gamma E L(x) - E L(G(z))|, which falls as samples get better.

    Args:
        gamma: target of E L(G(z)) / E L(x), in [0, 1]; lower gives better and less varied samples.
        lambda_k: the step of k, above 0.
    """

    critic = True

    k: Tensor
    convergence: Tensor

    def __init__(self, gamma: float = 0.5, lambda_k: float = 0.001) -> None:
        super().__init__()
        if not 0 <= gamma <= 1:
            raise ValueError(f"loss.objectives.adversarial.gamma must be in [0, 1], not {gamma}")
        if not lambda_k > 0:
            raise ValueError(f"loss.objectives.adversarial.lambda_k must be above 0, not {lambda_k}")
        self.gamma, self.lambda_k = gamma, lambda_k
        self.register_buffer("k", torch.zeros(()))
        self.register_buffer("convergence", torch.zeros(()))

    def discriminator(self, round: Round) -> Tensor:
        """Return E L(x) - k E L(G(z)), a scalar of either sign."""
        return energies(round.real_output).mean() - self.k * energies(round.fake_output).mean()

    def generator(self, round: Round) -> Tensor:
        """Return E L(G(z)), a scalar >= 0."""
        return energies(round.fake_output).mean()

    def after_discriminator_step(self, round: Round) -> None:
        """Update k, within [0, 1], and M."""
        real, fake = round.global_mean(energies(round.real_output)), round.global_mean(energies(round.fake_output))
        balance = self.gamma * real - fake
        self.k.add_(self.lambda_k * balance).clamp_(0, 1)
        self.convergence.copy_(real + balance.abs())

    def scalars(self) -> dict[str, Tensor]:
        """Return k and M, for the log."""
        return {"k": self.k, "convergence": self.convergence}
