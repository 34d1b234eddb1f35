"""The Frechet distance within each class, which sees classes that collapse behind a good distance of all together.

Miyato and Koyama 2018, 'cGANs with Projection Discriminator', section 4.1.
"""

from __future__ import annotations

import math
from statistics import fmean
from typing import ClassVar

import torch
from torch import Tensor

from gan_lightning.extractors.base import Extractor, Features
from gan_lightning.metrics.base import FeatureMetric, check_classes, check_one_label
from gan_lightning.metrics.fid import frechet_distance, moments
from gan_lightning.utils.distributed import all_gather_object

MOMENTS = ("count", "sum", "outer")


class IntraClassFrechet(FeatureMetric):
    """Mean over classes of the Frechet distance of the fakes made for a class from the real samples of that class.

    Keeps counts, sums and sums of outer products of each class, exact over ranks and batches: 16 dim^2 bytes a class in
    all, 0.7 GB for ten classes in Inception's 2048 features. The distance falls with the number of samples, and a class
    has a tenth or less of them: it is much above the distance of all together.

    `compute` gives `intra_fid`, over the classes that have real samples. It is NaN where one of these has fewer than
    two real samples or fakes, which have no covariance: raise `metrics.num_fakes`. Classes are drawn, so that even many
    fakes can leave one without, and a run should not end for that. It is NaN too where a feature is not finite.

    Labels are taken for classes of the data. Those of `variant=infogan` are codes that were learned without classes,
    which labels alone do not tell: its number means nothing.

    Args:
        extractor: of the features.
        num_classes: how many classes there are.
    """

    keys: ClassVar[tuple[str, ...]] = ("intra_fid",)
    needs_labels = True

    real_count: Tensor
    real_sum: Tensor
    real_outer: Tensor
    fake_count: Tensor
    fake_sum: Tensor
    fake_outer: Tensor

    def __init__(self, extractor: Extractor, num_classes: int | None) -> None:
        super().__init__(extractor)
        classes, dim = check_classes(self.keys, num_classes), extractor.dim
        for kind in ("real", "fake"):
            self.add_state(f"{kind}_count", torch.zeros(classes, dtype=torch.int64), dist_reduce_fx="sum")
            self.add_state(f"{kind}_sum", torch.zeros(classes, dim, dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state(f"{kind}_outer", torch.zeros(classes, dim, dim, dtype=torch.float64), dist_reduce_fx="sum")

    def accumulate_labelled_features(self, features: Features, labels: Tensor, real: bool) -> None:
        """Take the features of images and their classes (batch,)."""
        check_one_label(self.keys, labels, len(self.real_count))
        vectors = features.features.double()
        count, total, outer = (getattr(self, f"{'real' if real else 'fake'}_{name}") for name in MOMENTS)
        for kind in labels.unique().tolist():
            rows = vectors[labels == kind]
            count[kind] += len(rows)
            total[kind] += rows.sum(dim=0)
            outer[kind] += rows.mT @ rows

    def check_count(self, num_fakes: int) -> None:
        """Raise a ValueError for fewer than two fakes, or real samples, of each class of the real samples."""
        counts = [sum(of_ranks) for of_ranks in zip(*all_gather_object(self.real_count.tolist()), strict=True)]
        sizes = {kind: count for kind, count in enumerate(counts) if count}
        if not sizes:
            raise ValueError("intra_fid: the real samples have no classes: choose other metrics, or labelled data")
        for kind, count in sizes.items():
            if count < 2:
                raise ValueError(
                    f"intra_fid: class {kind} has {count} real sample, which has no covariance: choose data.classes "
                    "without it, or other metrics"
                )
        if num_fakes < 2 * len(sizes):
            raise ValueError(
                f"intra_fid: needs two fakes or more of each of {len(sizes)} classes, and {num_fakes} are too few: "
                "raise metrics.num_fakes"
            )

    def compute(self) -> dict[str, float]:
        """Return the mean distance, NaN as the class says; a ValueError if there are no fakes at all."""
        if not self.fake_count.any():
            raise ValueError("intra_fid needs fakes with classes, and has none: raise metrics.num_fakes")
        counts = torch.stack([self.real_count, self.fake_count], dim=1).tolist()
        classes = [kind for kind, (real, _) in enumerate(counts) if real]
        if not classes or any(min(counts[kind]) < 2 for kind in classes):
            return {"intra_fid": math.nan}
        return {"intra_fid": fmean(self.distance(kind) for kind in classes)}

    def distance(self, kind: int) -> float:
        """Return the Frechet distance within a class."""
        return frechet_distance(
            *moments(self.real_count[kind], self.real_sum[kind], self.real_outer[kind]),
            *moments(self.fake_count[kind], self.fake_sum[kind], self.fake_outer[kind]),
        )
