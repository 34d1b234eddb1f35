"""Metric states of the reference samples, kept in files for other runs."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat, dim_zero_sum

from gan_lightning import __version__
from gan_lightning.metrics.base import FeatureMetric, SampleMetric
from gan_lightning.utils.distributed import broadcast_object, is_distributed
from gan_lightning.utils.files import load_cached, save_cached

log = logging.getLogger(__name__)

LARGEST_BYTES = 512 * 2**20
"""States larger than this are not kept."""


class ReferenceCache:
    """Files of metric states that describe real samples.

    A file holds the states of one metric over the samples of all ranks. Its name is a hash of what they were computed
    from: data, extractor, metric and its config, batch size, kind of device and the version of this package. So the
    states are those that would be computed: to the bit on as many ranks and the same model of device, up to rounding on
    others. Damaged files are computed anew.

    Args:
        folder: of the files; None keeps nothing.
        data: fingerprint of the real samples; None keeps nothing.
        batch_size: how many of them a metric is shown at a time.
        device: where they are computed.
    """

    def __init__(self, folder: Path | None, data: str | None, batch_size: int, device: torch.device | str) -> None:
        self.folder, self.data = folder, data
        self.batch_size, self.device = batch_size, torch.device(device)

    def load(self, metrics: Mapping[str, SampleMetric], rank: int, world_size: int) -> set[str]:
        """Fill those of `metrics` that have a file, and return their names; called on every rank.

        Rank 0 takes the states; those of the others stay empty.
        """
        found: set[str] = set()
        if self.is_usable(world_size):
            if rank == 0:
                found = {name for name, metric in metrics.items() if self._fill(metric)}
            found = broadcast_object(found)
        return found

    def save(self, metrics: Iterable[SampleMetric], rank: int, world_size: int) -> None:
        """Write the states of `metrics`, which have seen all real samples and no fakes, over all ranks."""
        if not self.is_usable(world_size):
            return
        for metric in metrics:
            if not is_cacheable(metric):
                continue
            metric.sync()
            try:
                states = {name: as_tensor(state) for name, state in real_states(metric).items()} if rank == 0 else {}
            finally:
                if metric._is_synced:
                    metric.unsync()
            size = sum(state.numel() * state.element_size() for state in states.values())
            if rank == 0 and size <= LARGEST_BYTES:
                try:
                    save_cached({name: state.cpu() for name, state in states.items()}, self.path(metric))
                except OSError as error:
                    # And on to the next metric: the other ranks are waiting there to sync it.
                    log.info("the statistics of the real samples are not kept for other runs (%s)", error)

    def is_usable(self, world_size: int) -> bool:
        """Return whether there is a folder, a fingerprint of the data and, of several ranks, a process group."""
        return self.folder is not None and self.data is not None and (world_size == 1 or is_distributed())

    def path(self, metric: SampleMetric) -> Path:
        """Return the file of `metric`."""
        assert self.folder is not None
        text = json.dumps(self.key(metric), sort_keys=True, default=str)
        return self.folder / "statistics" / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.pt"

    def key(self, metric: SampleMetric) -> dict[str, Any]:
        """Return what the states of `metric` are computed from."""
        features = None
        if isinstance(metric, FeatureMetric):
            features = metric.extractor.fingerprint, metric.extractor.preprocessing
        return {
            "version": __version__,
            "data": self.data,
            "metric": f"{type(metric).__module__}.{type(metric).__qualname__}",
            "config": metric.config,
            "extractor": features,
            "batch_size": self.batch_size,
            "device": self.device.type,
        }

    def _fill(self, metric: SampleMetric) -> bool:
        """Give `metric` the states of its file; return whether there is a file that holds such states."""
        if not is_cacheable(metric):
            return False
        states, own = load_cached(self.path(metric), self.device), real_states(metric)
        if not isinstance(states, dict) or states.keys() != own.keys():
            return False
        for name, state in own.items():
            kept = states[name]
            if not isinstance(kept, Tensor):
                return False
            if not isinstance(state, list) and (kept.shape, kept.dtype) != (state.shape, state.dtype):
                return False
        for name, state in own.items():
            setattr(metric, name, [states[name]] if isinstance(state, list) else states[name])
        return True


def real_states(metric: SampleMetric) -> dict[str, Tensor | list[Tensor]]:
    """Return the states that describe real samples."""
    return {name: state for name, state in metric.metric_state.items() if name.startswith("real_")}


def is_cacheable(metric: SampleMetric) -> bool:
    """Return whether rank 0 can hold the states of all ranks: they are sums, or lists of what was seen."""
    reductions = [metric._reductions[name] for name in real_states(metric)]
    return bool(reductions) and all(reduce in (dim_zero_sum, dim_zero_cat) for reduce in reductions)


def as_tensor(state: Tensor | list[Tensor]) -> Tensor:
    """Return a state as one tensor of its own."""
    if isinstance(state, list):
        return torch.cat(state) if state else torch.empty(0)
    return state.clone()
