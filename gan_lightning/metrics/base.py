"""The interface of every metric: samples in, a few named numbers out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from gan_lightning.data.base import RealData
from gan_lightning.extractors.base import Extractor, Features, full_float32


class SampleMetric(Metric, ABC):
    """A metric of fakes, against real samples or against a distribution that is known.

    A subclass declares its states with `add_state`, so that the states of several ranks reduce to those of one. States
    named `real_...` describe the data, which does not change: `reset` keeps them.

    Attributes:
        config: how it is measured, beside the extractor and the number of fakes, by plain names and values: numbers of
            different ones never stand in one table, nor do their states of real samples share a file.
        min_fakes, min_real: with fewer fakes, or real samples, there is no number.
    """

    full_state_update = False

    keys: ClassVar[tuple[str, ...]]
    """Names of the numbers that `compute` returns."""

    needs_labels: ClassVar[bool] = False
    """True: the metric needs the classes that fakes were made for."""

    def __init__(self) -> None:
        super().__init__()
        self.config: dict[str, object] = {}
        self.min_fakes = 1
        self.min_real = 1
        self._empty: dict[str, Tensor] = {}

    def add_list_state(self, name: str, dtype: torch.dtype = torch.float32) -> None:
        """Declare a state that keeps every value, as a list of vectors (n,) of `dtype`: `concatenated` reads it.

        Matrices are kept flat: where ranks are gathered, one that has nothing cannot know how many columns others have.
        """
        self.add_state(name, [], dist_reduce_fx="cat")
        self._empty[name] = torch.empty(0, dtype=dtype)
        self._fill(name)

    def _fill(self, name: str) -> None:
        # Something of the right type is there from the start: torchmetrics would gather nothing as float32.
        setattr(self, name, [self._empty[name].to(self.device)])

    def prepare(self, data: RealData) -> None:
        """Take from `data` what the reference samples alone do not tell, or raise a ValueError; once, on every rank."""
        return

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Return the numbers named in `keys`, over all samples since the last reset, of all ranks."""

    def accumulate(self, samples: Tensor, real: bool) -> None:
        """Take a batch of float32 samples into the states; called without gradient and outside autocast."""
        return

    def accumulate_labelled(self, samples: Tensor, labels: Tensor, real: bool) -> None:
        """Take samples and their classes into the states, after `accumulate` took the samples alone.

        Args:
            samples: (batch, ...) of float32.
            labels: of int64; (batch,), or of fakes (batch, n) where a latent has n of them.
            real: whether the samples come from the data; else `labels` are what the fakes were made for.
        """
        return

    def update(
        self, images: Tensor, real: bool, labels: Tensor | None = None, features: Features | None = None
    ) -> None:
        """Take a batch into account.

        Args:
            images: samples (batch, ...); images are (batch, channels, height, width) in [-1, 1].
            real: whether they come from the data. A metric that knows the true distribution has no use for them.
            labels: of real samples, their classes; of fakes, those they were made for, as in `Latent`. None where there
                are none.
            features: of `images`, where they are known already; only a `FeatureMetric` reads them.

        Raises:
            ValueError: fakes without labels, and the metric needs them.
        """
        if not real:
            self.check_labels(labels)
        # Features and moments in the half precision of a training step and in TF32 would be off in the third digit.
        with full_float32(images.device):
            self._accumulate_batch(images.float(), real, labels, features)

    def _accumulate_batch(self, samples: Tensor, real: bool, labels: Tensor | None, features: Features | None) -> None:
        self.accumulate(samples, real)
        if labels is not None:
            self.accumulate_labelled(samples, labels, real)

    def check_labels(self, labels: Tensor | None) -> None:
        """Raise a ValueError for fakes without `labels`, where they are needed."""
        if self.needs_labels and labels is None:
            raise ValueError(
                f"{' and '.join(self.keys)}: no fake was made for a class: choose a prior that draws classes, such as "
                "prior=labelled"
            )

    def check_count(self, num_fakes: int) -> None:
        """Raise a ValueError for too few fakes; called on all ranks, once the real samples are known."""
        if num_fakes < self.min_fakes:
            raise ValueError(
                f"{' and '.join(self.keys)}: needs at least {self.min_fakes} fakes, not {num_fakes}: raise "
                "metrics.num_fakes"
            )

    def check_real_count(self, num_real: int) -> None:
        """Raise a ValueError for too few real samples; called on all ranks."""
        if num_real < self.min_real:
            raise ValueError(
                f"{' and '.join(self.keys)}: needs at least {self.min_real} real samples, not {num_real}: give more "
                "data, or choose other metrics, such as metrics=none"
            )

    def config_for(self, num_fakes: int, num_real: int) -> dict[str, object]:
        """Return `config` as it is with so many samples; a metric that uses fewer than it could says so here."""
        return dict(self.config)

    def caveat(self, num_fakes: int, num_real: int) -> str | None:
        """Return why the numbers of so few samples are unreliable, in one sentence; None where they are not."""
        return None

    def reset(self) -> None:
        """Forget the fakes and keep what is known of the real samples."""
        # A copy of the lists: torchmetrics empties them in place.
        kept = {
            name: list(state) if isinstance(state, list) else state
            for name, state in self.metric_state.items()
            if name.startswith("real_")
        }
        super().reset()
        for name in self._empty:
            self._fill(name)
        for name, state in kept.items():
            setattr(self, name, state)


class FeatureMetric(SampleMetric, ABC):
    """Scores images by the features that an extractor makes of them.

    Args:
        extractor: of the features. An `Evaluator` computes them once a batch for all metrics with an equal one.

    Raises:
        ValueError: there is none, as of data that bring none along.
    """

    def __init__(self, extractor: Extractor | None) -> None:
        super().__init__()
        if extractor is None:
            raise ValueError(
                f"{' and '.join(self.keys)}: needs an extractor, and this data brings none: add extractor=..., "
                "such as extractor=inception for images, or choose other metrics"
            )
        self.extractor = extractor

    def _accumulate_batch(self, samples: Tensor, real: bool, labels: Tensor | None, features: Features | None) -> None:
        features = self.extractor(samples) if features is None else features
        self.accumulate_features(features, real)
        if labels is not None:
            self.accumulate_labelled_features(features, labels, real)

    def accumulate_features(self, features: Features, real: bool) -> None:
        """Take the features of a batch of images into the states; called as `accumulate`."""
        return

    def accumulate_labelled_features(self, features: Features, labels: Tensor, real: bool) -> None:
        """Take the features of a batch and its labels into the states; see `accumulate_labelled`."""
        return


class KeptFeatureMetric(FeatureMetric, ABC):
    """A metric that keeps all features of real samples and fakes, in float32.

    Args:
        extractor: of the features.
    """

    real_features: list[Tensor]
    fake_features: list[Tensor]

    def __init__(self, extractor: Extractor | None) -> None:
        super().__init__(extractor)
        self.add_list_state("real_features")
        self.add_list_state("fake_features")

    def accumulate_features(self, features: Features, real: bool) -> None:
        if len(features.features):
            # A view, not a copy: metrics that keep the features of one extractor share their memory.
            (self.real_features if real else self.fake_features).append(features.features.flatten())

    def kept_features(self) -> tuple[Tensor, Tensor]:
        """Return the features of the real samples and of the fakes, (n, dim) and (m, dim)."""
        dim = self.extractor.dim
        return concatenated(self.real_features, dim), concatenated(self.fake_features, dim)


def check_classes(keys: tuple[str, ...], num_classes: int | None) -> int:
    """Return the number of classes for the metric of `keys`; a ValueError if the data have no classes."""
    if num_classes is None:
        raise ValueError(f"{' and '.join(keys)}: the data have no classes: choose other metrics, or labelled data")
    return num_classes


def check_one_label(keys: tuple[str, ...], labels: Tensor, num_classes: int) -> None:
    """Raise a ValueError unless each sample has one label, which is a class."""
    name = " and ".join(keys)
    if labels.ndim != 1:
        raise ValueError(f"{name} takes one label for each sample, (batch,), not {tuple(labels.shape)}")
    if len(labels) and (labels.min() < 0 or labels.max() >= num_classes):
        raise ValueError(
            f"{name} takes labels of {num_classes} classes, 0 to {num_classes - 1}, not {int(labels.max())}"
        )


def concatenated(state: list[Tensor], *shape: int) -> Tensor:
    """Return all of a list state of vectors, also when it holds nothing or was gathered from the ranks.

    Args:
        state: whose vectors hold whole rows.
        shape: of a row; none: single values.

    Returns:
        (n, *shape).
    """
    return (dim_zero_cat(state) if len(state) else torch.empty(0)).reshape(-1, *shape)
