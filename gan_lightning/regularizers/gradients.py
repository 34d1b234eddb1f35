"""Penalties on the slope of the discriminator, dD/dx. All of them are the discriminator's alone.

They are computed in float32 outside autocast: a squared gradient in half precision overflows or loses its small values.
Whoever calls backward on them must do so outside autocast too, or the second derivatives are taken in half precision.
A compiled discriminator is run as it was written: compiled code has no second derivative.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from gan_lightning.game import Objective, Round, judge


def slopes(logits: Tensor, samples: Tensor) -> Tensor:
    """The gradient of each logit with respect to its own sample, differentiable once more.

    Args:
        logits: (batch,), computed from `samples`.
        samples: (batch, ...), requiring gradient.

    Returns:
        (batch, values of one sample). The *sum* of the logits is differentiated: row i is then dD(x_i)/dx_i, whatever
        the batch size, as long as the discriminator judges each sample by itself (batch norm does not).
    """
    (gradient,) = torch.autograd.grad(logits.sum(), samples, create_graph=True)
    return gradient.flatten(start_dim=1)


def slopes_in_float32(discriminator: nn.Module, samples: Tensor) -> Tensor:
    """`slopes` at a detached copy of `samples`, by a forward pass of its own without autocast; (batch, values)."""
    samples = samples.detach().float().requires_grad_()
    # The inner gradient stays inside too: it runs matrix products, which autocast would take to half precision.
    with torch.autocast(samples.device.type, enabled=False):
        return slopes(judge(discriminator.forward, samples).logits, samples)


class GradientPenalty(Objective):
    """WGAN-GP: weight * E(||dD(x)/dx||_2 - target)^2 between real and fake (Gulrajani et al. 2017, eq. 3).

    x = u * real + (1 - u) * fake with one u ~ U(0, 1) for each sample. Two-sided; on every discriminator step. Batch
    norm in the discriminator makes a sample's score depend on its batch, so that its own slope is undefined.

    Args:
        weight: lambda of the paper.
        target: the slope that the critic should have, 1 for a Wasserstein critic.

    Raises:
        ValueError: one of them is negative.
    """

    forbids_batch_norm = True

    def __init__(self, weight: float = 10.0, target: float = 1.0) -> None:
        super().__init__()
        if not (weight >= 0 and target >= 0):
            raise ValueError(
                f"loss.objectives.gradient_penalty.weight and target must be at least 0, not {weight} and {target}"
            )
        self.weight, self.target = weight, target

    def discriminator(self, round: Round) -> Tensor:
        """A scalar >= 0."""
        real, fake = round.real.detach().float(), round.fake.detach().float()
        mixing = round.uniform(*[1] * (real.dim() - 1))
        gradients = slopes_in_float32(round.discriminator, torch.lerp(fake, real, mixing))
        norms = (gradients.square().sum(dim=1) + 1e-12).sqrt()  # the derivative of sqrt(0) is infinite
        return self.weight * (norms - self.target).square().mean()


class ZeroCentredPenalty(Objective, ABC):
    """gamma/2 * E||dD(x)/dx||^2: the square summed over the values of a sample, then averaged over the batch.

    Convention: `gamma` is that of Mescheder et al. 2018, whatever `every` is. With `every` = c the term is c times as
    large on each c-th turn and absent on the others: its mean over the turns stays (Karras et al. 2020, appendix B).

    In a float32 game the term reuses the forward pass of the adversarial loss, whose images require gradient for it.
    Under autocast, or where the discriminator is compiled, it makes a pass of its own in float32. With batch norm in the
    discriminator the slope at one sample takes in its influence on the scores of the others;
    `loss.discriminator_norm=none` keeps them apart.

    Args:
        gamma: strength. 10 in the paper.
        every: turns of the discriminator from one application to the next.

    Raises:
        ValueError: `gamma` is negative or `every` below 1.
    """

    needs_image_gradients = True

    def __init__(self, gamma: float = 10.0, every: int = 1) -> None:
        super().__init__()
        name = type(self).__name__.lower()
        if not gamma >= 0:
            raise ValueError(f"loss.objectives.{name}.gamma must be at least 0, not {gamma}")
        if every < 1:
            raise ValueError(f"loss.objectives.{name}.every must be at least 1 (turn), not {every}")
        self.gamma, self.every = gamma, every

    @abstractmethod
    def samples(self, round: Round) -> Tensor:
        """Where the slope is penalised, (batch, ...)."""

    @abstractmethod
    def logits(self, round: Round) -> Tensor:
        """The discriminator's scores of `samples`, (batch,)."""

    def discriminator(self, round: Round) -> Tensor | None:
        """A scalar >= 0, or None on the turns that a lazy penalty leaves out."""
        if round.turn % self.every:
            return None
        samples = self.samples(round)
        if samples.requires_grad and not torch.is_autocast_enabled(samples.device.type):
            gradients = slopes(self.logits(round), samples)
        else:
            gradients = slopes_in_float32(round.discriminator, samples)
        return self.every * self.gamma / 2 * gradients.square().sum(dim=1).mean()


class R1(ZeroCentredPenalty):
    """The zero-centred penalty on data: the discriminator is flat where the data are (Mescheder et al. 2018, eq. 9)."""

    def samples(self, round: Round) -> Tensor:
        """The batch of data."""
        return round.real

    def logits(self, round: Round) -> Tensor:
        """Scores of the data."""
        return round.real_logits


class R2(ZeroCentredPenalty):
    """The zero-centred penalty on fakes (Mescheder et al. 2018, eq. 10)."""

    def samples(self, round: Round) -> Tensor:
        """The batch of fakes."""
        return round.fake

    def logits(self, round: Round) -> Tensor:
        """Scores of the fakes."""
        return round.fake_logits
