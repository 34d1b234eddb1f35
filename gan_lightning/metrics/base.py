"""What every metric is: samples in, a few named numbers out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from gan_lightning.extractors.base import Extractor, Features


class SampleMetric(Metric, ABC):
    """Judges fakes, beside real samples or beside a distribution that is known.

    A subclass declares its states with `add_state`, so that the states of several ranks reduce to those of one. States
    named `real_...` describe the data, which does not change: `reset` keeps them.
    """

    full_state_update = False

    keys: ClassVar[tuple[str, ...]]
    """Names of the numbers that `compute` returns."""

    needs_labels: ClassVar[bool] = False
    """True: fakes are judged by the classes that they were made for, and without them not at all."""

    @abstractmethod
    def accumulate(self, samples: Tensor, real: bool) -> None:
        """Take a batch of float32 samples into the states; called without gradient and outside autocast."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The numbers named in `keys`, over all samples since the last reset, of all ranks."""

    def accumulate_labelled(self, samples: Tensor, labels: Tensor, real: bool) -> None:
        """Take samples and their classes into the states, after `accumulate` took the samples alone.

        Args:
            samples: (batch, ...) of float32.
            labels: of int64; (batch,), or of fakes (batch, n) where a latent asks for n of them.
            real: whether the samples come from the data; else `labels` are what the fakes were made for.
        """
        return

    def update(self, images: Tensor, real: bool, labels: Tensor | None = None) -> None:
        """Take a batch into account.

        Args:
            images: samples (batch, ...); images are (batch, channels, height, width) in [-1, 1].
            real: whether they come from the data. A metric that knows the true distribution has no use for them.
            labels: of real samples, their classes; of fakes, those they were made for, as in `Latent`. None where there
                are none.

        Raises:
            ValueError: fakes without labels, and the metric needs them.
        """
        if not real:
            self.check_labels(labels)
        # Features and moments in the half precision of a training step would be off in the third digit.
        with torch.autocast(images.device.type, enabled=False):
            samples = images.float()
            self.accumulate(samples, real)
            if labels is not None:
                self.accumulate_labelled(samples, labels, real)

    def check_labels(self, labels: Tensor | None) -> None:
        """Refuse fakes whose latents have these `labels`, where they are needed and None.

        Raises:
            ValueError: they are.
        """
        if self.needs_labels and labels is None:
            raise ValueError(
                f"{' and '.join(self.keys)}: no fake was made for a class: choose a prior that draws classes, such as "
                "prior=labelled"
            )

    def reset(self) -> None:
        """Forget the fakes and keep what is known of the real samples."""
        # A copy of the lists: torchmetrics empties them in place.
        kept = {
            name: list(state) if isinstance(state, list) else state
            for name, state in self.metric_state.items()
            if name.startswith("real_")
        }
        super().reset()
        for name, state in kept.items():
            setattr(self, name, state)


class FeatureMetric(SampleMetric, ABC):
    """Judges images by what an extractor makes of them.

    Args:
        extractor: which; metrics with the same one share its work.
    """

    def __init__(self, extractor: Extractor) -> None:
        super().__init__()
        self.extractor = extractor

    def accumulate(self, samples: Tensor, real: bool) -> None:
        """Take images (batch, channels, height, width) in [-1, 1].

        Raises:
            ValueError: the extractor does not read images of this shape.
        """
        self.accumulate_features(self.extractor(samples), real)

    @abstractmethod
    def accumulate_features(self, seen: Features, real: bool) -> None:
        """Take the features of a batch of images into the states."""


def concatenated(state: list[Tensor]) -> Tensor:
    """All of a list state of vectors as one vector, (n,), also when it holds nothing or was gathered from the ranks."""
    return dim_zero_cat(state) if len(state) else torch.empty(0)
