"""An extractor whose features are known: the samples themselves."""

from __future__ import annotations

from torch import Tensor

from gan_lightning.extractors.base import Extractor, Features


class Plain(Extractor):
    """Samples (batch, dim) are their own features, and logits too where there are classes."""

    preprocessing = "none"

    def __init__(self, dim: int, num_classes: int | None = None) -> None:
        super().__init__(dim, num_classes, "plain")

    def extract(self, images: Tensor) -> Features:
        return Features(images, None if self.num_classes is None else images)
