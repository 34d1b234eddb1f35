"""Tiny games evaluated by a metric whose numbers are known, for tests."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from lightning import Callback
from torch import Tensor

from gan_lightning.callbacks.evaluation import Evaluation
from gan_lightning.data.toys import ToyData, ring
from gan_lightning.gan import GAN
from gan_lightning.metrics.base import SampleMetric, concatenated
from helpers.tiny_gan import quiet_trainer


class MeanOfFakes(SampleMetric):
    """Remembers what it is shown, and gives means that are known."""

    keys: ClassVar[tuple[str, ...]] = ("mean", "real_count")
    fake_values: list[Tensor]
    real_count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.add_state("fake_values", [], dist_reduce_fx="cat")
        self.add_state("real_count", torch.tensor(0), dist_reduce_fx="sum")

    def accumulate(self, samples: Tensor, real: bool) -> None:
        self.sizes.append(len(samples))
        if real:
            self.real_count += len(samples)
        else:
            self.fake_values.append(samples.flatten())

    def compute(self) -> dict[str, float]:
        return {"mean": concatenated(self.fake_values).double().mean().item(), "real_count": float(self.real_count)}


class LabelsOfFakes(MeanOfFakes):
    """Remembers which fakes it was shown for which labels."""

    keys = ("labelled",)
    needs_labels = True
    fake_labels: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("fake_labels", [], dist_reduce_fx="cat")

    def accumulate_labelled(self, samples: Tensor, labels: Tensor, real: bool) -> None:
        if not real:
            self.fake_labels.append(labels)

    def compute(self) -> dict[str, float]:
        return {"labelled": float(len(concatenated(self.fake_labels)))}


def data(reference_size: int = 50) -> ToyData:
    facts: dict[str, Any] = {"shape": [2], "batch_size": 8, "seed": 0, "reference_size": reference_size}
    return ring(modes=8, radius=1.0, std=0.01, **facts)


def evaluation(every: int = 2, **changes: Any) -> Evaluation:
    settings: dict[str, Any] = {"metrics": {"mean": MeanOfFakes()}, "num_fakes": 23, "batch_size": 5}
    return Evaluation(every, **{**settings, **changes})


def fit(gan: GAN, *callbacks: Callback, ckpt_path: Any = None, **settings: Any) -> Any:
    trainer = quiet_trainer(callbacks=list(callbacks), **settings)
    trainer.fit(gan, data(), ckpt_path=ckpt_path)
    return trainer
