"""Smoothing of the adversarial loss's targets."""

from __future__ import annotations

from torch import Tensor

from gan_lightning.game import Objective, Round


class LabelSmoothing(Objective):
    """One-sided label smoothing: the target for data is 1 - s, for fakes still 0 (Salimans et al. 2016, section 3.4).

    Cross-entropy with the target 1 - s is (1 - s) softplus(-D) + s softplus(D) = softplus(-D) + s D, and the
    least-squares loss 1/2 (D - (1 - s))^2 is 1/2 (D - 1)^2 + s D + a constant: in both, smoothing adds s E D(x) to the
    discriminator's loss. The generator's target is not smoothed. Hinge and Wasserstein losses have no targets, and
    there the same term would merely weaken their real side: smooth only `loss=gan`, `loss=minimax` and `loss=lsgan`.

    Args:
        smoothing: s, in [0, 1).
    """

    needs_label_targets = True

    def __init__(self, smoothing: float = 0.1) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f"loss.objectives.label_smoothing.smoothing must be in [0, 1), not {smoothing}")
        self.smoothing = smoothing

    def discriminator(self, round: Round) -> Tensor:
        """Return s E D(x), a scalar of either sign."""
        return self.smoothing * round.real_logits.float().mean()
