"""Metrics over real samples and fakes: each sample is shown once, and its features are computed once."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_lightning.data.base import RealData, rank_slice
from gan_lightning.evaluation.protocol import protocol_of
from gan_lightning.evaluation.reference_cache import ReferenceCache, real_states
from gan_lightning.extractors.base import Extractor, full_float32
from gan_lightning.game import Batch
from gan_lightning.gan import GAN
from gan_lightning.metrics.base import FeatureMetric, SampleMetric
from gan_lightning.utils.distributed import all_gather_object, rank_zero_first, run_on_rank_zero
from gan_lightning.utils.progress_bar import track

log = logging.getLogger(__name__)

BATCH_SIZE = 500
STREAM = "evaluation"
"""Of the latents that are evaluated, see `GAN.fixed_latents`."""
WORTH_TELLING_SECONDS = 5.0


class Evaluator:
    """Metrics that evaluate together. Those with equal extractors come to hold one, which sees each batch once.

    Args:
        metrics: by any names; no two may give the same number.
        batch_size: largest number of samples generated or shown to them at a time on a rank.
        cache: the folder where the metrics' states of real samples are kept for other runs; None keeps none.
    """

    def __init__(
        self, metrics: Mapping[str, SampleMetric], batch_size: int = BATCH_SIZE, cache: Path | None = None
    ) -> None:
        self.metrics, self.batch_size, self.cache = dict(metrics), batch_size, cache
        self.keys = [f"val/{key}" for metric in self.metrics.values() for key in metric.keys]
        twice = sorted({key for key in self.keys if self.keys.count(key) > 1})
        if twice:
            raise ValueError(f"metrics.metrics has two metrics that give {' and '.join(twice)}: leave one of them out")
        self.extractors = shared_extractors(self.metrics.values())
        self._real_known = False

    def prepare(
        self,
        data: RealData,
        device: torch.device | str,
        num_fakes: int,
        labels: Tensor | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """See that the metrics can evaluate such fakes, and show them the reference samples, once.

        Args:
            data: the source of the reference samples.
            device: where metrics and extractors work.
            num_fakes: how many fakes an evaluation will have, over all ranks.
            labels: of one fake, as `Latent` has them; None where fakes have none.
            rank: this device's, from 0.
            world_size: number of devices.

        Raises:
            ValueError, FileNotFoundError: a metric cannot evaluate such data or fakes, or an extractor is not there.
        """
        for metric in self.metrics.values():
            metric.check_labels(labels)
        self.prepare_reference(data, device, rank, world_size)
        for metric in self.metrics.values():
            metric.check_count(num_fakes)
            metric.check_real_count(data.reference_size)
            caveat = metric.caveat(num_fakes, data.reference_size)
            if caveat is not None and rank == 0:
                log.warning(caveat)

    def prepare_gan(self, gan: GAN, data: RealData, num_fakes: int, rank: int = 0, world_size: int = 1) -> None:
        """Do as `prepare` does, for fakes of `gan` on its device."""
        labels = gan.fixed_latents(1, STREAM).labels
        self.prepare(data, gan.device, num_fakes, labels, rank, world_size)

    def prepare_reference(self, data: RealData, device: torch.device | str, rank: int = 0, world_size: int = 1) -> None:
        """Bring the metrics to `device` and show this rank's share of the reference samples to them, once.

        Metrics that keep nothing of real samples are shown the first batch alone, to see that they read such samples.
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
        """Return those of the extractors."""
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
        """Return the numbers of fakes over all ranks, as ``val/<key>``.

        Args:
            fakes: this rank's, in batches, with the classes that they were made for.
            count: how many these are.
            rank: only 0 shows a progress bar.
        """
        for metric in self.metrics.values():
            metric.reset()
        with closing(self._track(fakes, "evaluating fakes", count, rank)) as tracked:
            for samples, labels in tracked:
                update(self.metrics.values(), samples, labels, real=False)
        return {f"val/{key}": value for metric in self.metrics.values() for key, value in metric.compute().items()}

    def evaluate_gan(self, gan: GAN, num_fakes: int, rank: int = 0, world_size: int = 1) -> dict[str, float]:
        """Return the numbers of `num_fakes` samples of the averaged generator, as ``val/<key>``.

        The latents are the same at every call, and divided among the ranks: the same fakes on any number of them. They
        are made in full float32. The reference samples must have been shown.
        """
        latent = gan.fixed_latents(num_fakes, STREAM)
        mine = rank_slice(num_fakes, rank, world_size)
        starts = range(mine.start, mine.stop, self.batch_size)
        parts = (latent[start : min(start + self.batch_size, mine.stop)] for start in starts)
        fakes = ((gan.generate(part).float(), part.labels) for part in parts)
        with full_float32(gan.device):  # the fakes too, which are made as the loop comes to them
            return self.evaluate(fakes, len(mine), rank)

    def gan_protocol(self, gan: GAN, data: RealData, num_fakes: int, weights: str = "ema") -> dict[str, Any]:
        """Return how the numbers of `evaluate_gan` come about; see `protocol_of`.

        Args:
            gan: whose seed draws the latents.
            data: the source of the reference samples.
            num_fakes: over all ranks.
            weights: "ema", or "raw" where the averaged generator was replaced by the generator itself.
        """
        return self.protocol(data, num_fakes, seed=gan.seed, weights=weights, precision="float32")

    def protocol(self, data: RealData, num_fakes: int, **more: Any) -> dict[str, Any]:
        """Return how the numbers of `evaluate` come about; see `protocol_of`."""
        return protocol_of(self.metrics, data, num_fakes=num_fakes, batch_size=self.batch_size, **more)

    def _track(self, batches: Iterable[Batch], what: str, samples: int, rank: int) -> Generator[Batch, None, None]:
        if rank == 0:  # two bars would write over each other
            yield from track(batches, what, math.ceil(samples / self.batch_size))
        else:
            yield from batches

    def _prepare(self, data: RealData) -> None:
        for extractor in self.extractors:
            extractor.prepare(data)
        for metric in self.metrics.values():
            metric.prepare(data)


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
