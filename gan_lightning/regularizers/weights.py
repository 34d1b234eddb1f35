"""Objectives that act on the players' weights themselves."""

from __future__ import annotations

from gan_lightning.game import Objective, Round


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

    def observe(self, round: Round) -> None:
        """Clamps the weights in place."""
        for parameter in round.discriminator.parameters():
            parameter.detach().clamp_(-self.bound, self.bound)
