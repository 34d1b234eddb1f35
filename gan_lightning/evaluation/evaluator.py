"""Metrics over real samples and fakes: each sample is shown once, and its features are computed once."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from gan_lightning.data.base import RealData, rank_slice
from gan_lightning.evaluation.reference_cache import ReferenceCache, real_states
from gan_lightning.extractors.base import Extractor, full_float32
from gan_lightning.game import Batch
from gan_lightning.metrics.base import FeatureMetric, SampleMetric
from gan_lightning.utils.distributed import all_gather_object, rank_zero_first, run_on_rank_zero
from gan_lightning.utils.progress_bar import track

log = logging.getLogger(__name__)

WORTH_TELLING_SECONDS = 5.0


class Evaluator:
    """Metrics that evaluate together. Those with equal extractors come to hold one, which sees each batch once.

    Args:
        metrics: by any names.
        batch_size: largest number of samples that they are shown at a time.
        cache: the folder where their knowledge of real samples is kept from one run to the next; None keeps none.

    Raises:
        ValueError: two metrics give the same number.
    """

    def __init__(self, metrics: Mapping[str, SampleMetric], batch_size: int, cache: Path | None = None) -> None:
        self.metrics, self.batch_size, self.cache = dict(metrics), batch_size, cache
        self.keys = [f"val/{key}" for metric in self.metrics.values() for key in metric.keys]
        twice = sorted({key for key in self.keys if self.keys.count(key) > 1})
        if twice:
            raise ValueError(f"metrics.metrics has two metrics that give {' and '.join(twice)}: leave one of them out")
        self.extractors = shared_extractors(self.metrics.values())
        self._real_known = False

    def prepare_reference(self, data: RealData, device: torch.device | str, rank: int = 0, world_size: int = 1) -> None:
        """Bring the metrics to `device` and show this rank's share of the reference samples to them, once.

        Metrics that keep nothing of real samples are shown the first batch alone, to see that they can judge such.

        Raises:
            ValueError, FileNotFoundError: an extractor cannot be had, or a metric cannot judge such data.
        """
        if self._real_known or not self.metrics:
            return
        started = time.monotonic()
        rank_zero_first(lambda: self._prepare(data))
        if any(found != self.fingerprints for found in all_gather_object(self.fingerprints)):
            raise ValueError(
                "an extractor differs from rank to rank: let all machines use one folder, GAN_LIGHTNING_CACHE=/a/path"
            )
        for metric in self.metrics.values():
            metric.to(device)
        self._show_reference(data, device, rank, world_size)
        self._real_known = True
        seconds = time.monotonic() - started
        if rank == 0 and seconds > WORTH_TELLING_SECONDS:
            log.info("took the statistics of the real samples in %.0f s, once for the run", seconds)

    @property
    def fingerprints(self) -> list[str]:
        """Of the extractors."""
        return [extractor.fingerprint for extractor in self.extractors]

    def _show_reference(self, data: RealData, device: torch.device | str, rank: int, world_size: int) -> None:
        learning = {name: metric for name, metric in self.metrics.items() if real_states(metric)}
        kept = self.cache is not None and bool(learning)
        stamp = run_on_rank_zero(data.fingerprint) if kept else None  # which may mean to read all of it
        reference_cache = ReferenceCache(self.cache, stamp, self.batch_size, device)
        known = reference_cache.load(learning, rank, world_size)
        learning = {name: metric for name, metric in learning.items() if name not in known}
        shown = [metric for name, metric in self.metrics.items() if name not in known]
        batches = data.labelled_reference_batches(device, rank, world_size, self.batch_size)
        mine = len(rank_slice(data.reference_size, rank, world_size))
        with closing(self._track(batches if shown else (), "reading real samples", mine, rank)) as tracked:
            for samples, labels in tracked:
                update(shown, samples, labels, real=True)
                shown = list(learning.values())
                if not shown:
                    break
        reference_cache.save(learning.values(), rank, world_size)

    def evaluate(self, fakes: Iterable[Batch], count: int, rank: int = 0) -> dict[str, float]:
        """The numbers, by their names in the log, of fakes and the classes they were made for, over all ranks.

        Args:
            fakes: this rank's, in batches.
            count: how many these are.
            rank: only 0 shows how far it is.
        """
        for metric in self.metrics.values():
            metric.reset()
        with closing(self._track(fakes, "evaluating fakes", count, rank)) as tracked:
            for samples, labels in tracked:
                update(self.metrics.values(), samples, labels, real=False)
        return {f"val/{key}": value for metric in self.metrics.values() for key, value in metric.compute().items()}

    def _track(self, batches: Iterable[Batch], what: str, samples: int, rank: int) -> Generator[Batch, None, None]:
        if rank == 0:  # two bars would write over each other
            yield from track(batches, what, math.ceil(samples / self.batch_size))
        else:
            yield from batches

    def _prepare(self, data: RealData) -> None:
        for extractor in self.extractors:
            extractor.prepare(data)


def update(metrics: Collection[SampleMetric], samples: Tensor, labels: Tensor | None, real: bool) -> None:
    """Show a batch to `metrics`; each of their extractors computes its features once.

    Args:
        metrics: whose equal extractors are one object.
        samples: (batch, ...).
        labels: see `SampleMetric.update`.
        real: whether the samples come from the data.
    """
    extractors = dict.fromkeys(metric.extractor for metric in metrics if isinstance(metric, FeatureMetric))
    with torch.no_grad(), full_float32(samples.device):
        features = {extractor: extractor(samples.float()) for extractor in extractors}
    for metric in metrics:
        known = features[metric.extractor] if isinstance(metric, FeatureMetric) else None
        metric.update(samples, real=real, labels=labels, features=known)


def shared_extractors(metrics: Iterable[SampleMetric]) -> list[Extractor]:
    """Return the different extractors of `metrics`, to which those with an equal one get the first of them."""
    found: dict[tuple[type, str], Extractor] = {}
    for metric in metrics:
        if isinstance(metric, FeatureMetric):
            key = type(metric.extractor), metric.extractor.fingerprint
            metric.extractor = found.setdefault(key, metric.extractor)
    return list(found.values())
