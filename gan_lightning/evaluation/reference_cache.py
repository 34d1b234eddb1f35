"""What metrics know of the real samples, kept from one run to the next."""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat, dim_zero_sum

from gan_lightning.extractors import digits as features
from gan_lightning.extractors import small_classifier as classifier_training
from gan_lightning.extractors.base import Extractor
from gan_lightning.metrics.base import SampleMetric
from gan_lightning.utils.checks import fingerprint
from gan_lightning.utils.distributed import broadcast_object, is_distributed
from gan_lightning.utils.files import load_cached, save_cached

log = logging.getLogger(__name__)

LIBRARIES = "torch", "torchvision", "torch-fidelity"
SHARED_CODE = features, classifier_training
"""Files that make features, beside those of an extractor's own."""

LARGEST_BYTES = 512 * 2**20
"""States larger than this are not kept."""


class ReferenceCache:
    """States of metrics that describe real samples, in a folder of files.

    A file holds the states of one metric over the samples of all ranks. Its name stands for everything that they come
    from: the samples, the metric's and the extractor's code, settings and weights, the batch size, the versions of the
    libraries that networks come from and the kind of device. So what is found is what would be computed: to the bit on
    as many ranks and the same model of device as those it was computed on, and up to rounding on others. What is
    damaged is computed anew. Metrics that keep the same features have a file each, but in memory share one copy.

    Args:
        folder: where; None keeps nothing.
        data: stands for the real samples; None keeps nothing.
        batch_size: how many of them a metric is shown at a time.
        device: where.
    """

    def __init__(self, folder: Path | None, data: str | None, batch_size: int, device: torch.device | str) -> None:
        self.folder, self.data = folder, data
        self.batch_size, self.device = batch_size, torch.device(device)

    def load(self, metrics: Mapping[str, SampleMetric], rank: int, world_size: int) -> set[str]:
        """Fill those of `metrics` whose states are there; their names. On every rank; rank 0 takes the states."""
        found: set[str] = set()
        if self.possible(world_size):
            if rank == 0:
                found = {name for name, metric in metrics.items() if self.fill(metric)}
                share_lists(metrics[name] for name in found)
            found = broadcast_object(found)
        return found

    def save(self, metrics: Iterable[SampleMetric], rank: int, world_size: int) -> None:
        """Write the states of `metrics`, which have seen all real samples and no fakes, over all ranks."""
        if not self.possible(world_size):
            return
        for metric in metrics:
            if not can_be_kept(metric):
                continue
            metric.sync()
            try:
                states = {name: joined(state) for name, state in real_states(metric).items()} if rank == 0 else {}
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

    def possible(self, world_size: int) -> bool:
        """Whether there is a place, something to know by, and, of several ranks, all of them."""
        return self.folder is not None and self.data is not None and (world_size == 1 or is_distributed())

    def fill(self, metric: SampleMetric) -> bool:
        """Give `metric` the states that are there for it; whether there were any."""
        if not can_be_kept(metric):
            return False
        states, own = load_cached(self.path(metric), self.device), real_states(metric)
        if not isinstance(states, dict) or states.keys() != own.keys():
            return False
        for name, state in own.items():
            if not isinstance(state, list) and (states[name].shape, states[name].dtype) != (state.shape, state.dtype):
                return False
        for name, state in own.items():
            setattr(metric, name, [states[name]] if isinstance(state, list) else states[name])
        return True

    def path(self, metric: SampleMetric) -> Path:
        """Where the states of `metric` are kept."""
        assert self.folder is not None
        text = json.dumps(self.origin(metric), sort_keys=True, default=str)
        return self.folder / "statistics" / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.pt"

    def origin(self, metric: SampleMetric) -> dict[str, Any]:
        """What the states of `metric` come from."""
        extractor = getattr(metric, "extractor", None)
        parts = [metric] if extractor is None else [metric, extractor]
        return {
            "data": self.data,
            "metric": f"{type(metric).__module__}.{type(metric).__qualname__}",
            "settings": getattr(metric, "config", {}),
            "attributes": {
                name: value
                for name, value in vars(metric).items()
                if not name.startswith("_") and isinstance(value, (bool, int, float, str, tuple))
            },
            "states": {name: "list" if isinstance(s, list) else [*s.shape] for name, s in real_states(metric).items()},
            "extractor": (extractor.fingerprint, extractor.preprocessing) if isinstance(extractor, Extractor) else None,
            "code": [fingerprint(file) for part in parts for file in code_of(type(part))]
            + [fingerprint(Path(inspect.getfile(module))) for module in SHARED_CODE],
            "batch_size": self.batch_size,
            "device": self.device.type,
            "libraries": {name: version(name) for name in LIBRARIES},
        }


def real_states(metric: SampleMetric) -> dict[str, Tensor | list[Tensor]]:
    """The states that describe real samples."""
    return {name: state for name, state in metric.metric_state.items() if name.startswith("real_")}


def share_lists(metrics: Iterable[SampleMetric]) -> None:
    """Let equal vectors in the lists of real samples be one in memory, as those just made are."""
    kept: list[Tensor] = []
    for metric in metrics:
        for state in real_states(metric).values():
            if isinstance(state, list):
                for index, new in enumerate(state):
                    old = next((old for old in kept if old.dtype == new.dtype and torch.equal(old, new)), None)
                    if old is None:
                        kept.append(new)
                    else:
                        state[index] = old


def can_be_kept(metric: SampleMetric) -> bool:
    """Whether rank 0 can hold the states of all ranks: they are sums, or lists of what was seen."""
    reductions = [metric._reductions[name] for name in real_states(metric)]
    return bool(reductions) and all(reduce in (dim_zero_sum, dim_zero_cat) for reduce in reductions)


def joined(state: Tensor | list[Tensor]) -> Tensor:
    """A state as one tensor of its own."""
    if isinstance(state, list):
        return torch.cat(state) if state else torch.empty(0)
    return state.clone()


def code_of(kind: type) -> list[Path]:
    """The files that a class and those it builds on are written in, but for the libraries'."""
    files: dict[Path, None] = {}
    for base in kind.__mro__:
        if base.__module__.split(".")[0] not in ("builtins", "abc", "torch", "torchmetrics", "typing"):
            try:
                files[Path(inspect.getfile(base))] = None
            except (TypeError, OSError):
                continue
    return list(files)
