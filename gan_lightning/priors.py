"""p(z): the latents that a generator is fed, and the ways between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import fields, replace
from math import ceil, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gan_lightning.game import Latent
from gan_lightning.utils.checks import check_int, check_ints, check_positive
from gan_lightning.utils.interpolate import lerp, slerp

MOST_ROWS = 16
"""Classes up to which a grid has a row for each."""


class Prior(nn.Module, ABC):
    """A distribution of latents. A subclass defines `noise`, and overrides what its latents need beside.

    Args:
        dim: length of the noise vector z.

    Attributes:
        class_conditional: whether the labels of latents are classes of the data.
    """

    class_conditional = False

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = check_int("prior.dim", dim)

    @abstractmethod
    def noise(self, count: int, rng: torch.Generator) -> Tensor:
        """Return the noise z, (count, dim) of float32, on the device of `rng`."""

    def prepare(self, label_counts: Tensor | None) -> None:
        """Take from the data what latents follow; called once, before training.

        Args:
            label_counts: training samples of each class, (classes,); None where the data have no labels.
        """
        return

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Latent:
        """Return `count` latents on the device of `rng`, all of whose randomness comes from `rng`.

        Args:
            count: how many.
            rng: of all randomness.
            labels: their classes, (count,) of int64, for a class-conditional prior; None leaves them to the prior.

        Raises:
            ValueError: there are `labels`, and the prior is not class-conditional; or it does not have such classes.
        """
        refuse_labels(labels)
        return Latent(self.noise(count, rng))

    def grid(self, count: int, rng: torch.Generator, classes: Sequence[int] | None = None) -> tuple[Latent, int]:
        """Return about `count` latents for an image grid, row by row, and how many of them stand in a row.

        Here: `count` samples, as near to a square as whole rows allow. A prior whose latents have a meaning
        arranges them by it: a class in each row, say.

        Raises:
            ValueError: there are `classes`, and the prior is not class-conditional; or it does not have them.
        """
        refuse_labels(classes)
        return self.sample(count, rng), ceil(sqrt(count))

    def truncated(self, limit: float) -> Prior:
        """Return this prior with its Gaussian noise, its own or that of a prior within, truncated to [-limit, limit].

        This prior stays as it is. See `TruncatedGaussian`.

        Raises:
            ValueError: there is no Gaussian noise, or `limit` is not above 0.
        """
        if not any(isinstance(part, Gaussian) for part in self.modules()):
            raise ValueError(f"truncation={limit} is for Gaussian noise, which this model is not fed: leave it out")
        new = deepcopy(self)
        for holder in list(new.modules()):
            for name, part in holder.named_children():
                if isinstance(part, Gaussian):
                    holder.add_module(name, part.truncated(limit))
        return new

    def interpolate(self, start: Latent, end: Latent, share: Tensor) -> Latent:
        """Return the latents that lie `share` of the way from `start` to `end`, both of this prior.

        Here: every field of real numbers on a line, all else (classes) as in `start`. A prior overrides this where its
        noise lies elsewhere, or where z holds more than noise.

        Args:
            start: of `batch` latents.
            end: of as many.
            share: (batch, 1), from 0 to 1.
        """
        between: dict[str, Any] = {}
        for column in fields(start):
            first, last = getattr(start, column.name), getattr(end, column.name)
            if isinstance(first, Tensor) and first.is_floating_point():
                between[column.name] = lerp(first, last, share.view(-1, *[1] * (first.ndim - 1)))
        return replace(start, **between)

    def traverse(self, columns: int, rng: torch.Generator) -> tuple[Latent, int, Tensor]:
        """Return latents in rows, in each of which one latent code changes alone; see `InfoGANPrior.traverse`.

        Raises:
            ValueError: the prior draws no codes.
        """
        raise ValueError(
            "traverse=true is for a model with learned codes, such as variant=infogan's, and this one has none: leave "
            "it out"
        )


class Gaussian(Prior):
    """z ~ N(0, I)."""

    def noise(self, count: int, rng: torch.Generator) -> Tensor:
        return torch.randn(count, self.dim, generator=rng, device=rng.device)

    def truncated(self, limit: float) -> Prior:
        return TruncatedGaussian(self.dim, limit)

    def interpolate(self, start: Latent, end: Latent, share: Tensor) -> Latent:
        """Return latents on the arc of a great circle, see `slerp`."""
        return replace(super().interpolate(start, end, share), z=slerp(start.z, end.z, share))


class TruncatedGaussian(Gaussian):
    """z ~ N(0, I), a coordinate beyond `limit` drawn again: truncation of Brock et al. 2019, "BigGAN", section 3.1.

    Samples become better and less various as `limit` falls.

    Args:
        dim: length of z.
        limit: the largest absolute value of a coordinate.

    Raises:
        ValueError: `limit` is not above 0.
    """

    def __init__(self, dim: int, limit: float) -> None:
        super().__init__(dim)
        self.limit = check_positive("truncation", limit)

    def noise(self, count: int, rng: torch.Generator) -> Tensor:
        z = torch.empty(count, self.dim, device=rng.device)
        return nn.init.trunc_normal_(z, a=-self.limit, b=self.limit, generator=rng)

    def truncated(self, limit: float) -> Prior:
        return TruncatedGaussian(self.dim, min(self.limit, limit))

    def interpolate(self, start: Latent, end: Latent, share: Tensor) -> Latent:
        """Return latents on the arc, clamped to the limit: it bulges out by up to sqrt(2) in a coordinate."""
        between = super().interpolate(start, end, share)
        return replace(between, z=between.z.clamp(-self.limit, self.limit))


class Uniform(Prior):
    """z ~ U(low, high), each coordinate by itself."""

    def __init__(self, dim: int, low: float = -1.0, high: float = 1.0) -> None:
        super().__init__(dim)
        if not low < high:
            raise ValueError(f"prior.low must be below prior.high, not {low} and {high}")
        self.low, self.high = low, high

    def noise(self, count: int, rng: torch.Generator) -> Tensor:
        return torch.empty(count, self.dim, device=rng.device).uniform_(self.low, self.high, generator=rng)


class ClassConditional(Prior):
    """Noise and a class for each sample; for class-conditional generators.

    Classes that the data do not have, as with ``data.classes``, are never drawn.

    Args:
        dim: length of z: that of the noise, for a generator that reads `Latent.labels`; or that plus the number of
            classes, and z then ends with the class, one-hot, which any generator can be fed (Mirza and Osindero 2014).
        noise: where the noise comes from.
        num_classes: how many classes there are; None where the data have none.
        labels: ``data`` draws each class as often as the training data have it (Karras et al. 2020), ``uniform`` each
            as often as any other.

    Raises:
        ValueError: there are no classes, `dim` is neither of the two, or `labels` is.
    """

    class_conditional = True
    class_shares: Tensor
    """How often each class is drawn, (num_classes,); kept in the checkpoint."""

    def __init__(self, dim: int, noise: Prior, num_classes: int | None, labels: str = "uniform") -> None:
        super().__init__(dim)
        if not num_classes:
            raise ValueError(
                "a class-conditional prior needs data with classes, and these have none: choose such as data=mnist10k"
            )
        if dim not in (noise.dim, noise.dim + num_classes):
            raise ValueError(
                f"prior.dim must be that of the noise, {noise.dim}, or with the class {noise.dim + num_classes}, "
                f"not {dim}"
            )
        if labels not in ("data", "uniform"):
            raise ValueError(f"prior.labels must be data or uniform, not {labels!r}")
        self.source, self.num_classes, self.labels = noise, num_classes, labels
        self.register_buffer("class_shares", torch.full((num_classes,), 1 / num_classes))

    def prepare(self, label_counts: Tensor | None) -> None:
        if label_counts is not None and label_counts.any():
            counts = torch.zeros(self.num_classes).to(label_counts)
            counts[: len(label_counts)] = label_counts[: self.num_classes]
            weights = counts if self.labels == "data" else counts.sign()
            self.class_shares.copy_(weights / weights.sum())

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Latent:
        """Return `count` latents, the classes drawn after the noise where `labels` does not give them."""
        if labels is not None:
            if labels.shape != (count,):
                raise ValueError(f"labels must be ({count},), one for each sample, not of shape {tuple(labels.shape)}")
            self.check_classes(labels.tolist())
        noise = self.noise(count, rng)
        if labels is None:
            labels = self.draw_labels(count, rng)
        return self.from_classes(noise, labels.to(rng.device))

    def draw_labels(self, count: int, rng: torch.Generator) -> Tensor:
        """Return `count` classes, (count,) of int64, as often as `class_shares` says."""
        return torch.multinomial(self.class_shares.to(rng.device), count, replacement=True, generator=rng)

    @property
    def available_classes(self) -> list[int]:
        """Return the classes that are drawn, in their order."""
        return self.class_shares.nonzero().flatten().tolist()

    def noise(self, count: int, rng: torch.Generator) -> Tensor:
        """Return the noise alone, (count, noise.dim) of float32."""
        return self.source.noise(count, rng)

    def from_classes(self, noise: Tensor, labels: Tensor) -> Latent:
        """Return the latents of `noise` (batch, noise.dim) and of the classes `labels` (batch,)."""
        if self.dim == self.source.dim:
            return Latent(noise, labels=labels)
        return Latent(torch.cat([noise, one_hot(labels, self.num_classes).to(noise)], dim=1), labels=labels)

    def grid(self, count: int, rng: torch.Generator, classes: Sequence[int] | None = None) -> tuple[Latent, int]:
        """Return a class in each row, all or `classes`, and the same noise down each column.

        Every class has a row, also where `count` is smaller; but of more than `MOST_ROWS` classes about as many as
        there are columns, at equal distances in their order.
        """
        classes = self.usual_classes(count) if classes is None else self.check_classes(classes)
        columns = max(1, count // len(classes))
        noise = self.noise(columns, rng).repeat(len(classes), 1)
        return self.from_classes(noise, torch.tensor(classes, device=rng.device).repeat_interleave(columns)), columns

    def interpolate(self, start: Latent, end: Latent, share: Tensor) -> Latent:
        """Return latents whose noise moves as its own prior has it, of the classes of `start` throughout."""
        assert start.labels is not None
        first, last = (Latent(latent.z[:, : self.source.dim]) for latent in (start, end))
        return self.from_classes(self.source.interpolate(first, last, share).z, start.labels)

    def usual_classes(self, count: int) -> list[int]:
        """Return the classes of a grid of about `count` latents."""
        available = self.available_classes
        if len(available) <= MOST_ROWS:
            return available
        rows = min(ceil(sqrt(count)), len(available))
        return [available[row * len(available) // rows] for row in range(rows)]

    def check_classes(self, classes: Sequence[int]) -> Sequence[int]:
        """Return `classes`.

        Raises:
            ValueError: the prior does not have one of them.
        """
        available = self.available_classes
        unknown = sorted(set(classes) - set(available))
        if unknown:
            whole = available == list(range(self.num_classes))
            options = f"0 to {self.num_classes - 1}" if whole else str(available)
            raise ValueError(f"the model does not have the classes {unknown}: choose from {options}")
        return classes


def refuse_labels(labels: object) -> None:
    """Refuse labels where the prior is not class-conditional.

    Raises:
        ValueError: `labels` is not None.
    """
    if labels is not None:
        raise ValueError(
            "classes cannot be chosen for this model, whose prior is not class-conditional: leave labels (classes=) out"
        )


def spread_labels(classes: Sequence[int], count: int) -> Tensor:
    """Return `count` labels, (count,) of int64: `classes` in their order, each as often as the others up to one.

    Raises:
        ValueError: `classes` is no list of whole numbers, or there are more of them than `count`.
    """
    check_ints("labels", classes)
    if count < len(classes):
        raise ValueError(f"count={count} is fewer than the {len(classes)} classes: choose count={len(classes)} or more")
    return torch.tensor(classes)[torch.arange(count) * len(classes) // count]
