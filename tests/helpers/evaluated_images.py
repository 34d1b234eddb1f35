"""Random pictures, and make_evaluator that tell how many of them they looked at, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from gan_lightning.data.image_data import ImageData, Images
from gan_lightning.evaluation.evaluator import Evaluator
from gan_lightning.extractors.base import Extractor, Features
from gan_lightning.metrics.fid import FrechetDistance
from gan_lightning.metrics.sliced_wasserstein import SlicedWasserstein


class Sums(Extractor):
    """Eight random projections of the pixels; counts the images that it looks at."""

    preprocessing = "none"
    seen: ClassVar[int] = 0

    def __init__(self, identity: str = "sums") -> None:
        super().__init__(8, None, identity)

    def extract(self, images: Tensor) -> Features:
        Sums.seen += len(images)
        flat = images.flatten(1)
        return Features(flat @ torch.randn(flat.shape[1], 8, generator=torch.Generator().manual_seed(0)), None)


class RandomImages(ImageData):
    """Random grey images with classes."""

    def __init__(self, seed: int = 0, count: int = 60, **changes: Any) -> None:
        facts: dict[str, Any] = {"shape": [1, 4, 4], "num_classes": 3, "value_range": [-1, 1], "batch_size": 8}
        super().__init__(**{**facts, "seed": 0, **changes})
        self.source, self.count = seed, count

    def read(self, train: bool) -> Images:
        rng = torch.Generator().manual_seed(self.source + 100 * (not train))
        pixels = torch.randint(256, (self.count, 1, 4, 4), generator=rng, dtype=torch.uint8)
        return Images(pixels, torch.arange(self.count) % 3)


def make_evaluator(folder: Path | None, identity: str = "sums", batch_size: int = 7) -> Evaluator:
    metrics = {"fid": FrechetDistance(Sums(identity)), "swd": SlicedWasserstein(16)}
    return Evaluator(metrics, batch_size, folder)


def values(made: Evaluator, data: ImageData) -> dict[str, float]:
    made.prepare_reference(data, "cpu")
    fakes = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(5)) * 2 - 1
    return made.evaluate(((part, None) for part in fakes.split(7)), 40)


def images_seen(made: Evaluator, data: ImageData) -> int:
    """Real images that the extractor looks at."""
    Sums.seen = 0
    made.prepare_reference(data, "cpu")
    return Sums.seen
