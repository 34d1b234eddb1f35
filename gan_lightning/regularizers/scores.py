"""Discriminator objectives on its scores: LeCam's anchors and consistency under transformations."""

from __future__ import annotations

import torch
from torch import Tensor

from gan_lightning.game import Objective, Round, discriminate
from gan_lightning.regularizers.features import not_negative


class LeCam(Objective):
    """weight * (E(D(x) - a_F)^2 + E(D(G(z)) - a_R)^2), for training on few data (Tseng et al. 2021).

    a_R and a_F are moving averages of the mean score of data and of fakes: each side is drawn towards the past
    scores of the other. They begin as plain means and decay by `decay` with each discriminator update; before the first
    there is no term. The authors' code leaves out samples that lie beyond the anchor already; this is the formula of
    the paper. With a Wasserstein loss the best critic then measures a LeCam divergence (their proposition 1).

    Args:
        weight: lambda of the paper, at least 0.
        decay: of the anchors, for each discriminator update; in [0, 1).
    """

    real: Tensor
    fake: Tensor

    def __init__(self, weight: float = 0.3, decay: float = 0.99) -> None:
        super().__init__()
        self.weight = not_negative("lecam", weight)
        if not 0 <= decay < 1:
            raise ValueError(f"loss.objectives.lecam.decay must be in [0, 1), not {decay}")
        self.decay = decay
        self.register_buffer("real", torch.zeros(()))
        self.register_buffer("fake", torch.zeros(()))

    def discriminator(self, round: Round) -> Tensor | None:
        """Return a scalar >= 0, or None on the first update, before there is an anchor."""
        if round.discriminator_updates == 0:
            return None
        real = (round.real_logits.float() - self.fake).square().mean()
        fake = (round.fake_logits.float() - self.real).square().mean()
        return self.weight * (real + fake)

    def after_discriminator_step(self, round: Round) -> None:
        """Move the anchors towards the means of this update; the share corrects for their start at 0, as in Adam."""
        share = (1 - self.decay) / (1 - self.decay ** (round.discriminator_updates + 1))
        self.real.lerp_(round.global_mean(round.real_logits), share)
        self.fake.lerp_(round.global_mean(round.fake_logits), share)


class Consistency(Objective):
    """CR-GAN: weight * E(D(x) - D(T(x)))^2, data and a transformed copy score alike (Zhang et al. 2020).

    T shifts an image by a whole number of pixels down and across, each uniform in [-shift, shift], repeating its
    border, and mirrors it left to right with probability 1/2 if `flip`. Gradients go through both scores.

    Args:
        weight: lambda, at least 0; 10 in the paper.
        shift: the farthest shift in pixels; 0, which needs `flip`, only mirrors.
        flip: mirror images; not for images that mirroring gives another meaning, such as digits.
    """

    def __init__(self, weight: float = 10.0, shift: int = 2, flip: bool = False) -> None:
        super().__init__()
        self.weight = not_negative("consistency", weight)
        if shift < 0 or (shift == 0 and not flip):
            raise ValueError(
                f"loss.objectives.consistency.shift must be at least 1 pixel, or 0 with flip=true, not {shift}"
            )
        self.shift, self.flip = shift, flip

    def discriminator(self, round: Round) -> Tensor:
        """Return a scalar >= 0."""
        transformed = discriminate(round.discriminator, self.transform(round), round.labels).logits
        return self.weight * (round.real_logits.float() - transformed.float()).square().mean()

    def transform(self, round: Round) -> Tensor:
        """Return T of the round's data, each image by its own draw; (batch, channels, height, width)."""
        images = round.real.detach()
        if images.dim() != 4:
            raise ValueError(
                f"consistency shifts images, and samples of this data have shape {list(images.shape[1:])}: choose "
                "image data, or leave the regularizer out"
            )
        across, down, mirrored = round.uniform(3).unbind(dim=1)
        rows = self.shifted(down, images.shape[2])
        columns = self.shifted(across, images.shape[3])
        if self.flip:
            columns = torch.where(mirrored[:, None] < 0.5, columns.flip(1), columns)
        samples = torch.arange(len(images), device=images.device)
        return images.movedim(1, 3)[samples[:, None, None], rows[:, :, None], columns[:, None, :]].movedim(3, 1)

    def shifted(self, draws: Tensor, size: int) -> Tensor:
        """Return the source position of each target position, (batch, size), for shifts by U(0, 1) draws (batch,)."""
        steps = (draws * (2 * self.shift + 1)).long() - self.shift
        return (torch.arange(size, device=draws.device) + steps[:, None]).clamp(0, size - 1)
