"""Objectives on the players' weights: clipping and historical averaging."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gan_lightning.game import Objective, Round
from gan_lightning.regularizers.features import not_negative


class WeightClipping(Objective):
    """Keeps every weight of the discriminator in [-bound, bound] (Arjovsky et al. 2017, algorithm 1, line 7).

    Acts *after* the discriminator's step, on all parameters: the scale and shift of a normalisation too, since a free
    scale would undo the bound on the layer before it. Buffers (running statistics) stay. It adds no term to any loss.

    Args:
        bound: c of the paper, above 0.
    """

    def __init__(self, bound: float = 0.01) -> None:
        super().__init__()
        if not bound > 0:
            raise ValueError(f"loss.objectives.weight_clipping.bound must be above 0, not {bound}")
        self.bound = bound

    def after_discriminator_step(self, round: Round) -> None:
        """Clamp the weights in place."""
        for parameter in round.discriminator.parameters():
            parameter.detach().clamp_(-self.bound, self.bound)


class HistoricalAveraging(Objective):
    """weight * ||theta - mean of past theta||^2 for each player's weights (Salimans et al. 2016, section 3.3).

    The mean is over the weights after each discriminator update, all weighted alike; with several discriminator updates
    to one of the generator, the generator's weights count several times. There is no term in the first step.

    Args:
        generator: a network of the generator's size; only the number of its weights matters.
        discriminator: likewise.
        weight: strength, at least 0; the paper has 1.
    """

    generator_mean: Tensor
    discriminator_mean: Tensor

    def __init__(self, generator: nn.Module, discriminator: nn.Module, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = not_negative("historical_averaging", weight)
        # As long as the weights from the start, since a checkpoint is loaded into existing buffers.
        self.register_buffer("generator_mean", torch.zeros_like(flat_weights(generator).detach()))
        self.register_buffer("discriminator_mean", torch.zeros_like(flat_weights(discriminator).detach()))

    def discriminator(self, round: Round) -> Tensor | None:
        """Return a scalar >= 0, or None on the first update, before there is a mean."""
        return None if round.discriminator_updates == 0 else self.distance(round.discriminator, self.discriminator_mean)

    def generator(self, round: Round) -> Tensor:
        """Return a scalar >= 0; 0 on the first step, where the mean is the current weights."""
        return self.distance(round.generator, self.generator_mean)

    def distance(self, network: nn.Module, mean: Tensor) -> Tensor:
        """Return the weighted squared distance of a network's weights from their mean, a scalar."""
        return self.weight * (flat_weights(network) - mean).square().sum()

    def after_discriminator_step(self, round: Round) -> None:
        """Update the means with both players' weights, (weights of the player,)."""
        share = 1 / (round.discriminator_updates + 1)
        self.generator_mean.lerp_(flat_weights(round.generator), share)
        self.discriminator_mean.lerp_(flat_weights(round.discriminator), share)


def flat_weights(network: nn.Module) -> Tensor:
    """Return all weights of a network as one vector, whatever their memory format."""
    return torch.cat([weight.flatten() for weight in network.parameters()])
