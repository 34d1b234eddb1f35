"""Penalties on the gradient of the discriminator at its input, dD/dx, for the discriminator alone.

They are computed in float32 outside autocast: a squared gradient in half precision overflows or loses its small values.
Their backward pass must run outside autocast too, or the second derivatives are taken in half precision. A compiled
discriminator runs uncompiled here: compiled code has no second derivative.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from gan_lightning.game import Objective, Round, discriminate
from gan_lightning.utils.checks import check_int


def input_gradients(logits: Tensor, samples: Tensor) -> Tensor:
    """Return the gradient of each logit with respect to its input, differentiable once more.

    Args:
        logits: (batch,), computed from `samples`; fewer where each is of several neighbouring samples, a pack.
        samples: (batch, ...), requiring gradient.

    Returns:
        (logits, values of one sample or pack). The *sum* of the logits is differentiated: row i is then dD(x_i)/dx_i,
        whatever the batch size, as long as each score depends on x_i alone (with batch norm it does not).
    """
    (gradient,) = torch.autograd.grad(logits.sum(), samples, create_graph=True)
    return gradient.reshape(len(logits), -1)


def input_gradients_fp32(
    discriminator: nn.Module, samples: Tensor, labels: Tensor | None = None, vectorised: bool = False
) -> Tensor:
    """Return `input_gradients` at a detached copy of `samples`, in float32 and outside autocast; (batch, values).

    Args:
        discriminator: whose scores are differentiated.
        samples: (batch, ...).
        labels: their classes, (batch,).
        vectorised: see `Round.vectorised`.
    """

    def scores(samples: Tensor) -> Tensor:
        return discriminate(discriminator, samples, labels, uncompiled=True).logits

    # The inner gradient stays inside too: it runs matrix products, which autocast would take to half precision.
    with torch.autocast(samples.device.type, enabled=False):
        samples = samples.detach().float()
        if vectorised:

            def total(samples: Tensor) -> tuple[Tensor, Tensor]:
                logits = scores(samples)
                return logits.sum(), logits

            gradient, logits = torch.func.grad(total, has_aux=True)(samples)
            return gradient.reshape(len(logits), -1)
        samples.requires_grad_()
        return input_gradients(scores(samples), samples)


class LazyGradientPenalty(Objective, ABC):
    """A penalty on every `every`-th discriminator update only, `every` times as strong there (lazy regularization).

    Convention: with `every` = c the term is c times as large on every c-th update and absent on the others, so that its
    mean over the updates, and with it the strength, stays the same (Karras et al. 2020, appendix B).

    Args:
        every: discriminator updates from one application to the next, at least 1.
    """

    key: ClassVar[str]
    """Its name in the configuration, below ``loss.objectives``."""

    def __init__(self, every: int = 1) -> None:
        super().__init__()
        self.every = check_int(f"loss.objectives.{self.key}.every", every)

    def discriminator(self, round: Round) -> Tensor | None:
        """Return a scalar >= 0, or None on the updates that a lazy penalty leaves out."""
        return None if round.discriminator_updates % self.every else self.every * self.penalty(round)

    @abstractmethod
    def penalty(self, round: Round) -> Tensor:
        """Return the term as it is with `every` = 1, a scalar >= 0."""


class TargetNormPenalty(LazyGradientPenalty):
    """weight * E(||dD(x)/dx||_2 - target)^2 at `sample_points`. Two-sided: smaller gradients are penalised too.

    Batch norm in the discriminator makes a sample's score depend on its batch, so that its own gradient is undefined.

    Args:
        weight: lambda of the papers, at least 0.
        target: the gradient norm that the discriminator should have, at least 0.
        every: discriminator updates from one application to the next, see `LazyGradientPenalty`.
    """

    forbids_batch_norm = True

    def __init__(self, weight: float = 10.0, target: float = 1.0, every: int = 1) -> None:
        super().__init__(every)
        if not (weight >= 0 and target >= 0):
            raise ValueError(
                f"loss.objectives.{self.key}.weight and target must be at least 0, not {weight} and {target}"
            )
        self.weight, self.target = weight, target

    @abstractmethod
    def sample_points(self, round: Round) -> Tensor:
        """Return the points of the penalty, (batch, ...) of float32; their classes are those of the data."""

    def penalty(self, round: Round) -> Tensor:
        points = self.sample_points(round)
        gradients = input_gradients_fp32(round.discriminator, points, round.labels, round.vectorised)
        norms = (gradients.square().sum(dim=1) + 1e-12).sqrt()  # the derivative of sqrt(0) is infinite
        return self.weight * (norms - self.target).square().mean()


def mixing_weights(round: Round) -> Tensor:
    """Return one u ~ U(0, 1) for each real sample, or each pack of them, (batch, 1, ...)."""
    pack = len(round.real) // len(round.real_logits)
    return round.uniform(*[1] * (round.real.dim() - 1))[::pack].repeat_interleave(pack, dim=0)


class GradientPenalty(TargetNormPenalty):
    """WGAN-GP: gradient norm 1 of a Wasserstein critic between real and fake (Gulrajani et al. 2017, eq. 3).

    x = u * real + (1 - u) * fake with one u ~ U(0, 1) for each sample, or each pack of them where the discriminator
    takes packs. The paper has it on every discriminator step.
    """

    key = "gradient_penalty"

    def sample_points(self, round: Round) -> Tensor:
        real, fake = round.real.detach().float(), round.fake.detach().float()
        return torch.lerp(fake, real, mixing_weights(round))


class DRAGAN(TargetNormPenalty):
    """DRAGAN: gradient norm 1 around the data, and nowhere else (Kodali et al. 2017).

    x = real + a * spread * std(real) * u with one a ~ U(0, 1) for each sample, or each pack of them, and a u ~ U(0, 1)
    for each of its values, as in the authors' code; no fake takes part. The paper itself has no a. std(real) is
    one number, over all values of the batch: that of all devices together, and with micro-batches that of the current
    micro-batch. So training with several micro-batches differs a little from training with one.

    Args:
        weight: lambda of the paper, at least 0.
        target: the gradient norm that the discriminator should have, at least 0; k of the paper.
        every: discriminator updates from one application to the next, see `LazyGradientPenalty`.
        spread: c, the largest step away from the data in standard deviations, at least 0.
    """

    key = "dragan"

    def __init__(self, weight: float = 10.0, target: float = 1.0, every: int = 1, spread: float = 0.5) -> None:
        super().__init__(weight, target, every)
        if not spread >= 0:
            raise ValueError(f"loss.objectives.dragan.spread must be at least 0, not {spread}")
        self.spread = spread

    def sample_points(self, round: Round) -> Tensor:
        real = round.real.detach().float()
        std = round.global_mean((real - round.global_mean(real)).square()).sqrt()
        return real + mixing_weights(round) * self.spread * std * round.uniform(*real.shape[1:])


class ZeroCentredPenalty(LazyGradientPenalty):
    """gamma/2 * E||dD(x)/dx||^2: the square summed over the values of a sample, then averaged over the batch.

    Convention: `gamma` is that of Mescheder et al. 2018, whatever `every` is.

    In float32 training the term reuses the forward pass of the adversarial loss, whose images require gradient for it.
    Under autocast, or where the discriminator is compiled, it makes a pass of its own in float32. With batch norm in
    the discriminator the gradient at one sample includes its influence on the scores of the others;
    `loss.discriminator_norm=none` keeps them apart.

    Args:
        gamma: strength, at least 0; 10 in the paper.
        every: discriminator updates from one application to the next, see `LazyGradientPenalty`.
    """

    needs_image_gradients = True

    def __init__(self, gamma: float = 10.0, every: int = 1) -> None:
        super().__init__(every)
        if not gamma >= 0:
            raise ValueError(f"loss.objectives.{self.key}.gamma must be at least 0, not {gamma}")
        self.gamma = gamma

    of_data: ClassVar[bool]
    """True: the gradient is penalised at data; False: at fakes."""

    def penalty(self, round: Round) -> Tensor:
        samples, labels = (round.real, round.labels) if self.of_data else (round.fake, round.latent.labels)
        if samples.requires_grad and not torch.is_autocast_enabled(samples.device.type):
            gradients = input_gradients(round.real_logits if self.of_data else round.fake_logits, samples)
        else:
            gradients = input_gradients_fp32(round.discriminator, samples, labels, round.vectorised)
        return self.gamma / 2 * gradients.square().sum(dim=1).mean()


class R1(ZeroCentredPenalty):
    """The zero-centred penalty on data: the discriminator is flat where the data are (Mescheder et al. 2018, eq. 9)."""

    key = "r1"
    of_data = True


class R2(ZeroCentredPenalty):
    """The zero-centred penalty on fakes (Mescheder et al. 2018, eq. 10)."""

    key = "r2"
    of_data = False
