"""Objectives that act on the players' weights themselves."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gan_lightning.game import Objective, Round
from gan_lightning.regularizers.features import not_negative


class WeightClipping(Objective):
    """Keeps every weight of the discriminator in [-bound, bound] (Arjovsky et al. 2017, algorithm 1, line 7).

    Acts *after* the discriminator's step, on all parameters: the scale and shift of a normalisation too, since a free
    scale would undo the bound on the layer before it. Buffers (running statistics) stay. It has no term in any loss.

    Args:
        bound: c of the paper.

    Raises:
        ValueError: `bound` is not positive.
    """

    def __init__(self, bound: float = 0.01) -> None:
        super().__init__()
        if not bound > 0:
            raise ValueError(f"loss.objectives.weight_clipping.bound must be above 0, not {bound}")
        self.bound = bound

    def after_discriminator_step(self, round: Round) -> None:
        """Clamps the weights in place."""
        for parameter in round.discriminator.parameters():
            parameter.detach().clamp_(-self.bound, self.bound)


class HistoricalAveraging(Objective):
    """weight * ||theta - mean of past theta||^2 for each player's weights (Salimans et al. 2016, section 3.3).

    The past are the weights after each turn of the discriminator, all of them alike; with several of its turns to one
    of the generator, the generator's count several times. There is no term before the first turn is over.

    Args:
        generator: a network of the generator's size; only its weights are counted.
        discriminator: likewise.
        weight: strength; the paper has 1.

    Raises:
        ValueError: `weight` is negative.
    """

    generator_mean: Tensor
    discriminator_mean: Tensor

    def __init__(self, generator: nn.Module, discriminator: nn.Module, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = not_negative("historical_averaging", weight)
        # As long as the weights from the start, since a checkpoint is read into buffers that are there.
        self.register_buffer("generator_mean", torch.zeros_like(vector(generator).detach()))
        self.register_buffer("discriminator_mean", torch.zeros_like(vector(discriminator).detach()))

    def discriminator(self, round: Round) -> Tensor | None:
        """A scalar >= 0, or None on the first turn, before there is a past."""
        return None if round.discriminator_updates == 0 else self.distance(round.discriminator, self.discriminator_mean)

    def generator(self, round: Round) -> Tensor:
        """A scalar >= 0; 0 on the first turn, whose past is the present."""
        return self.distance(round.generator, self.generator_mean)

    def distance(self, network: nn.Module, mean: Tensor) -> Tensor:
        """The weighted squared distance of a network's weights from their mean, a scalar."""
        return self.weight * (vector(network) - mean).square().sum()

    def after_discriminator_step(self, round: Round) -> None:
        """Takes both players' weights into the means, (weights of the player,)."""
        share = 1 / (round.discriminator_updates + 1)
        self.generator_mean.lerp_(vector(round.generator), share)
        self.discriminator_mean.lerp_(vector(round.discriminator), share)


def vector(network: nn.Module) -> Tensor:
    """All weights of a network in a row, whatever their memory format."""
    return torch.cat([weight.flatten() for weight in network.parameters()])
