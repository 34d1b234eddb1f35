"""DiffAugment: differentiable augmentation of all that the discriminator sees (Zhao et al. 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gan_lightning.game import DiscriminatorOutput
from gan_lightning.wrappers.base import Wrapper


class DiffAugment(Wrapper):
    """A discriminator that sees each image augmented at random, real and fake alike, in both players' updates.

    In training mode only; in evaluation mode images pass as they are. Gradients at images, as in `regularizer=r1`, go
    through the augmentation. Images are augmented before the wrapped network, so inner wrappers see them augmented.

    The draws come from torch's own generator, seeded for each step and device: several devices, or several
    micro-batches, augment differently from one.

    Args:
        network: the wrapped discriminator.
        policies: of `color`, `translation` and `cutout`, at least one, applied in the order given.
    """

    def __init__(self, network: nn.Module, policies: Sequence[str] = ("color", "translation", "cutout")) -> None:
        super().__init__(network)
        unknown = [policy for policy in policies if policy not in POLICIES]
        if unknown or not policies:
            given = ", ".join(unknown) or "none"
            raise ValueError(f"wrappers.diffaugment.policies must be some of {', '.join(POLICIES)}, not {given}")
        self.policies = tuple(policies)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        """Return the output for augmented images (batch, channels, height, width) and their classes (batch,)."""
        if samples.dim() != 4:
            raise ValueError(
                f"wrapper=[diffaugment] augments images, and samples of this data have shape "
                f"{list(samples.shape[1:])}: choose image data, or leave the wrapper out"
            )
        if self.training:
            samples = samples.float()  # fakes may come in half precision, and data must not differ from them by that
            for policy in self.policies:
                samples = POLICIES[policy](samples)
        return super().forward(samples, labels)


def color(images: Tensor) -> Tensor:
    """Add U(-.5, .5) to brightness, multiply saturation by U(0, 2) and contrast by U(.5, 1.5), in this order.

    Saturation is the distance from the mean over the channels of a pixel, which a grey image does not have, and
    contrast that from the mean over the image.
    """
    images = images + uniform(images, -0.5, 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = torch.lerp(grey, images, uniform(images, 0.0, 2.0)) if images.shape[1] > 1 else images
    return torch.lerp(images.mean(dim=(1, 2, 3), keepdim=True), images, uniform(images, 0.5, 1.5))


def translation(images: Tensor) -> Tensor:
    """Shift each image by up to an eighth of its size, in whole pixels (4 of 28), down and across; zeros come in.

    Zero is mid-grey in images of [-1, 1]. Against a black border it shows the shift, which is then no part of what the
    generator learns.
    """
    height, width = images.shape[2:]
    rows, columns = old_places(images, height), old_places(images, width)
    kept = within(rows, height)[:, None, :, None] & within(columns, width)[:, None, None, :]
    rows = rows.clamp(0, height - 1)[:, None, :, None].expand_as(images)
    columns = columns.clamp(0, width - 1)[:, None, None, :].expand_as(images)
    return images.gather(2, rows).gather(3, columns) * kept


def cutout(images: Tensor) -> Tensor:
    """Set a rectangle of half the height and half the width to zero, its middle anywhere in the image."""
    height, width = images.shape[2:]
    cut = covered(images, height)[:, None, :, None] & covered(images, width)[:, None, None, :]
    return images.masked_fill(cut, 0.0)


POLICIES: dict[str, Callable[[Tensor], Tensor]] = {"color": color, "translation": translation, "cutout": cutout}
"""By their names in the configuration; with the strengths of the authors' code."""


def uniform(images: Tensor, low: float, high: float) -> Tensor:
    """Return U(low, high) for each image, (batch, 1, 1, 1)."""
    return images.new_empty(len(images), 1, 1, 1).uniform_(low, high)


def old_places(images: Tensor, size: int) -> Tensor:
    """Draw a shift by up to an eighth of `size` for each image; return each position's source, (batch, size)."""
    most = int(size / 8 + 0.5)
    shifts = torch.randint(-most, most + 1, (len(images), 1), device=images.device)
    return torch.arange(size, device=images.device) + shifts


def within(places: Tensor, size: int) -> Tensor:
    """Return which `places` are in an image."""
    return (places >= 0) & (places < size)


def covered(images: Tensor, size: int) -> Tensor:
    """Draw a window of half of `size` for each image, also over the border; return its positions, (batch, size)."""
    half = int(size / 2 + 0.5)
    first = torch.randint(-(half // 2), size - half // 2 + 1 - half % 2, (len(images), 1), device=images.device)
    places = torch.arange(size, device=images.device)
    return (places >= first) & (places < first + half)
