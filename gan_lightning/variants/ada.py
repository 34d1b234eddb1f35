"""ADA: the discriminator sees augmented images, the more often the more it overfits (Karras et al. 2020).

"Training Generative Adversarial Networks with Limited Data". The wrapper transforms images with probability p, and the
objective adapts p, so that the discriminator does not memorize a small dataset.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

from gan_lightning.game import DiscriminatorOutput, Objective, Round
from gan_lightning.utils.checks import check_int, check_positive
from gan_lightning.wrappers.base import Wrapper


class AdaptiveAugmentation(Wrapper):
    """A discriminator that sees images transformed at random, real and fake alike, in both players' updates.

    In training mode each of `transforms` is applied to each image with probability p, in the order of `TRANSFORMS` and
    with the strengths of the paper (its appendix B); in evaluation mode images pass as they are. The moves make one
    affine map, by which an image is sampled once, bilinearly, as if its border were a mirror. The paper samples from an
    image of twice the size through wavelet filters, which matters for larger images.

    A gradient penalty at images, such as r1, is taken before the transformation. With geometric ones it needs torch
    2.12: earlier versions lack the second derivative of `grid_sample`.

    The draws come from torch's own generator, seeded for each step and device: several devices, or several
    micro-batches, augment differently from one.

    Args:
        network: the wrapped discriminator.
        transforms: names of `TRANSFORMS`, at least one. Up to p = .8 or so they hardly leak into the fakes (section
            2.2); nearer to 1 fakes come out mirrored, turned or recoloured themselves.
        p: where p begins, in [0, 1].

    Attributes:
        p: the probability of each of them, a scalar.
    """

    p: Tensor

    def __init__(self, network: nn.Module, transforms: Sequence[str], p: float = 0.0) -> None:
        super().__init__(network)
        check_probability("wrappers.ada.p", p)
        unknown = [name for name in transforms if name not in TRANSFORMS]
        if unknown or not transforms:
            given = ", ".join(unknown) or "none"
            raise ValueError(f"wrappers.ada.transforms must be some of {', '.join(TRANSFORMS)}, not {given}")
        self.transforms = frozenset(transforms)
        self.register_buffer("p", torch.tensor(float(p)))

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        """Return the output for transformed images (batch, channels, height, width) and their classes (batch,).

        Raises a ValueError for samples that are no images, or grey ones where colours are transformed.
        """
        if samples.dim() != 4:
            raise ValueError(
                f"variant=ada transforms images, and samples of this data have shape {list(samples.shape[1:])}: choose "
                "image data, or leave the variant out"
            )
        colours = sorted(self.transforms & {"luma_flip", "hue", "saturation"})
        if colours and samples.shape[1] != 3:
            raise ValueError(
                f"{' and '.join(colours)} of wrappers.ada.transforms are for images of 3 channels, not "
                f"{samples.shape[1]}: leave them out"
            )
        if self.training:
            with torch.autocast(samples.device.type, enabled=False):
                samples = self.transformed(samples.float())
        return super().forward(samples, labels)

    def transformed(self, images: Tensor) -> Tensor:
        """Return `images`, (batch, channels, height, width) of float32, transformed."""
        draws = Draws(images, self.p)
        images = moved(images, [move(draws) for name, move in MOVES if name in self.transforms])
        for name, recolour in COLOURS.items():
            if name in self.transforms:
                images = recolour(images, draws)
        return images


class Draws(NamedTuple):
    """Random numbers for `images`, each 0 but with probability `p`: then nothing is done to that image.

    All transformations are as likely as their inverses, which is why signs do not matter.
    """

    images: Tensor
    p: Tensor

    def normal(self, std: float, *shape: int) -> Tensor:
        """Return N(0, std^2), (batch, *shape)."""
        return self.sometimes(std * torch.randn(len(self.images), *shape, device=self.images.device))

    def uniform(self, reach: float, *shape: int) -> Tensor:
        """Return U(-reach, reach), (batch, *shape)."""
        return self.sometimes(reach * (2 * torch.rand(len(self.images), *shape, device=self.images.device) - 1))

    def whole(self, options: int, *shape: int) -> Tensor:
        """Return whole numbers from 0 to `options` - 1, equally likely, (batch, *shape)."""
        return self.sometimes((options * torch.rand(len(self.images), *shape, device=self.images.device)).floor())

    def sometimes(self, values: Tensor) -> Tensor:
        """Return `values` (batch, ...) of images chosen with probability `p`, and 0 for the others."""
        chosen = torch.rand(len(values), *[1] * (values.dim() - 1), device=values.device) < self.p
        return values * chosen

    def rarely(self) -> Draws:
        """Return draws so rare that one of two is made with probability `p`."""
        return self._replace(p=1 - (1 - self.p).sqrt())

    def pixels(self, shares: Tensor) -> Tensor:
        """Return `shares` (batch, 2, 1) of the images' width and height, in pixels."""
        height, width = self.images.shape[2:]
        return torch.cat([shares[:, :1] * width, shares[:, 1:] * height], dim=1)


def stretch(across: Tensor, down: Tensor) -> Tensor:
    """Return scalings by factors (batch, 1, 1), as matrices (batch, 2, 2)."""
    return torch.cat([across, down], dim=2).squeeze(1).diag_embed()


def turn(angle: Tensor) -> Tensor:
    """Return rotations by angles (batch, 1, 1), in radians, as matrices (batch, 2, 2)."""
    cosine, sine = angle.cos(), angle.sin()
    return torch.cat([torch.cat([cosine, -sine], dim=2), torch.cat([sine, cosine], dim=2)], dim=1)


def x_flip(draws: Draws) -> Tensor:
    """Mirror left to right with probability 1/2."""
    flipped = draws.whole(2, 1, 1)
    return stretch(1 - 2 * flipped, torch.ones_like(flipped))


def isotropic_scaling(draws: Draws) -> Tensor:
    """Scale by 2^N(0, .2^2)."""
    factor = draws.normal(0.2, 1, 1).exp2()
    return stretch(factor, factor)


def anisotropic_scaling(draws: Draws) -> Tensor:
    """Scale by 2^N(0, .2^2) across, and by the inverse down."""
    factor = draws.normal(0.2, 1, 1).exp2()
    return stretch(factor, 1 / factor)


def rotation(draws: Draws) -> Tensor:
    """Rotate by any angle: before and after the anisotropic scaling, at least once of both with probability p."""
    return turn(draws.rarely().uniform(math.pi, 1, 1))


MOVES: tuple[tuple[str, Callable[[Draws], Tensor]], ...] = (
    # onto whole pixels
    ("x_flip", x_flip),
    ("rotate_90", lambda draws: turn(draws.whole(4, 1, 1) * (math.pi / 2))),
    ("integer_translation", lambda draws: draws.pixels(draws.uniform(1 / 8, 2, 1)).round()),
    # between pixels
    ("isotropic_scaling", isotropic_scaling),
    ("rotation", rotation),
    ("anisotropic_scaling", anisotropic_scaling),
    ("rotation", rotation),
    ("fractional_translation", lambda draws: draws.pixels(draws.normal(1 / 8, 2, 1))),
)
"""Matrices (batch, 2, 2), or shifts (batch, 2, 1) in pixels, by the names of the transformations, the first first."""


def moved(images: Tensor, moves: Sequence[Tensor]) -> Tensor:
    """Return `images` under all of `moves`, sampled once; those that nothing moves stay the same to the bit."""
    batch, _, height, width = images.shape
    linear = torch.eye(2, device=images.device).expand(batch, 2, 2)
    shift = torch.zeros(batch, 2, 1, device=images.device)
    for move in moves:
        # The old place of a new one, from the last move back. No matrix product, which a GPU may round to TF32.
        further = (linear[..., None] * move[:, None]).sum(dim=2)
        linear, shift = (further, shift) if move.shape[2] == 2 else (linear, shift + further)
    still = ((linear == torch.eye(2, device=images.device)) & (shift == 0)).all(dim=2).all(dim=1)
    # `affine_grid` counts places from -1 to 1 along each axis.
    across = torch.cat([linear[:, :1, :1], linear[:, :1, 1:] * (height / width), shift[:, :1] * (2 / width)], dim=2)
    down = torch.cat([linear[:, 1:, :1] * (width / height), linear[:, 1:, 1:], shift[:, 1:] * (2 / height)], dim=2)
    places = affine_grid(torch.cat([across, down], dim=1), list(images.shape), align_corners=False)
    sampled = grid_sample(images, places, padding_mode="reflection", align_corners=False)
    return torch.where(still[:, None, None, None], images, sampled)


def luma_flip(images: Tensor, draws: Draws) -> Tensor:
    """Swap light and dark with probability 1/2; colours stay."""
    return images - 2 * draws.whole(2, 1, 1, 1) * images.mean(dim=1, keepdim=True)


def hue(images: Tensor, draws: Draws) -> Tensor:
    """Rotate colours about the grey axis by any angle."""
    angle = draws.uniform(math.pi, 1, 1, 1)
    colours = images - images.mean(dim=1, keepdim=True)
    across = (colours.roll(1, dims=1) - colours.roll(-1, dims=1)) / math.sqrt(3)  # cross product with the axis
    return images + (angle.cos() - 1) * colours + angle.sin() * across


def saturation(images: Tensor, draws: Draws) -> Tensor:
    """Scale the distance from grey by 2^N(0, 1)."""
    return images + (draws.normal(1.0, 1, 1, 1).exp2() - 1) * (images - images.mean(dim=1, keepdim=True))


COLOURS: dict[str, Callable[[Tensor, Draws], Tensor]] = {
    "brightness": lambda images, draws: images + draws.normal(0.2, 1, 1, 1),
    "contrast": lambda images, draws: images * draws.normal(0.5, 1, 1, 1).exp2(),
    "luma_flip": luma_flip,
    "hue": hue,
    "saturation": saturation,
}
"""New images of old, by the names of the transformations, the first first."""

TRANSFORMS = tuple(dict.fromkeys([*(name for name, _ in MOVES), *COLOURS]))


class AdaptiveProbability(Objective):
    """Adapts the p of `AdaptiveAugmentation` so that r = E sign(D(x) - c), over augmented data, tends to `target`.

    r is near 1 when the discriminator overfits, and near 0 when it cannot tell data from fakes. After every `every`
    discriminator steps p rises, if the mean r of these steps was above the target, or else falls, by as much as takes
    it from 0 to 1 within `adjustment_images` images, and stays within [0, 1]. It is the same on all devices.

    c is the loss's `score_threshold`: 0 for log-odds and a hinge loss, midway between the targets of least squares.
    Wasserstein and relativistic losses have none: a constant added to their scores changes nothing.

    Without a target p follows a schedule: it moves to `final_p` at the same pace, or stays where it began.

    Args:
        target: of r, in [-1, 1]; .6 in the paper. None: p does not follow the scores.
        adjustment_images: real images seen, over all devices, while p rises from 0 to 1; 500 000 in the paper.
        every: discriminator steps from one adjustment of p to the next; 4 in the paper.
        final_p: where a scheduled p goes, in [0, 1]; None: p is fixed.

    Raises:
        ValueError: `target` or `final_p` is outside its range or both are given, or one of the others not positive.
    """

    p: Tensor
    r: Tensor
    signs: Tensor

    def __init__(
        self,
        target: float | None = 0.6,
        adjustment_images: float = 500_000,
        every: int = 4,
        final_p: float | None = None,
    ) -> None:
        super().__init__()
        if target is not None and not -1 <= target <= 1:
            raise ValueError(f"loss.objectives.ada.target must be in [-1, 1], or null, not {target}")
        if final_p is not None:
            check_probability("loss.objectives.ada.final_p", final_p)
            if target is not None:
                raise ValueError("loss.objectives.ada.final_p is a scheduled p's: add loss.objectives.ada.target=null")
        self.target, self.final_p, self.needs_score_threshold = target, final_p, target is not None
        self.adjustment_images = check_positive("loss.objectives.ada.adjustment_images", adjustment_images)
        self.every = check_int("loss.objectives.ada.every", every)
        for state in ("p", "r", "signs"):
            self.register_buffer(state, torch.zeros(()))

    def after_discriminator_step(self, round: Round) -> None:
        """Add up the signs of this step, and every `every` steps move p; a ValueError if the discriminator has none."""
        parts = round.discriminator.modules()
        augmentation = next((part for part in parts if isinstance(part, AdaptiveAugmentation)), None)
        if augmentation is None:
            raise ValueError(
                "loss.objectives.ada moves the probability of an augmentation, and the discriminator has none: choose "
                "variant=ada, which brings both"
            )
        p, images = augmentation.p, self.every * (round.noise.batch_size or len(round.real))
        step, due = images / self.adjustment_images, (round.discriminator_updates + 1) % self.every == 0
        if self.target is not None:
            self.signs.add_(round.global_mean((round.real_logits - (self.score_threshold or 0.0)).sign()))
        if due and self.target is not None:
            self.r.copy_(self.signs / self.every)
            self.signs.zero_()
            p.add_((self.r - self.target).sign() * step).clamp_(0, 1)
        elif due and self.final_p is not None:
            p.add_((self.final_p - p).clamp(-step, step))
        self.p.copy_(p)

    def scalars(self) -> dict[str, Tensor]:
        """Return p and, where p follows it, r, for the log."""
        return {"p": self.p} if self.target is None else {"p": self.p, "r": self.r}


def check_probability(key: str, value: float) -> None:
    """Raise a ValueError that names `key` unless `value` is in [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"{key} must be in [0, 1], not {value}")
