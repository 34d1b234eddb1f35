"""Endless batches of images in files: decoded by worker processes, or gathered from a memory-mapped file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from gan_lightning.data.loader import DeterministicSampler, first_step_of_a_run
from gan_lightning.data.pixels import normalize
from gan_lightning.game import Batch


class DiskLoader:
    """Endless batches of a dataset that is too large for memory, read ahead by worker processes.

    Args:
        dataset: gives (uint8 image (channels, height, width), class).
        labelled: True where the data have classes; else batches have None instead.
        order: which rows to take.
        device: where batches are wanted. Pixels travel there as uint8, a quarter of float32.
        num_workers: processes that read ahead; 0 reads in this process.
        first_step: returns the step to begin at; called whenever iteration begins.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        labelled: bool,
        order: DeterministicSampler,
        device: torch.device | str,
        num_workers: int,
        first_step: Callable[[], int] = first_step_of_a_run,
    ) -> None:
        self.labelled, self.device = labelled, torch.device(device)
        self.batches: DataLoader[Any] = DataLoader(
            Attempts(dataset),
            batch_sampler=BatchSampler(order, first_step),
            collate_fn=batch_or_error,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=self.device.type == "cuda",
            # Its own, because it would draw from the global one and so change the run beside data held in memory.
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[Batch]:
        for pixels, labels in raised(self.batches):
            pixels = pixels.to(self.device, non_blocking=True).contiguous(memory_format=torch.channels_last)
            yield normalize(pixels), labels.to(self.device, non_blocking=True) if self.labelled else None


class Attempts(Dataset[Any]):
    """The items of a dataset; an OSError or ValueError in the place of one that raised it.

    A `DataLoader` whose worker raises puts the worker's traceback into the message.
    """

    def __init__(self, items: Dataset[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)  # type: ignore[arg-type]

    def __getitem__(self, row: int) -> Any:
        try:
            return self.items[row]
        except (OSError, ValueError) as error:
            return error


def batch_or_error(items: list[Any]) -> Any:
    """Return the items in one batch, or the first error among them."""
    return next((item for item in items if isinstance(item, Exception)), None) or default_collate(items)


def raised(batches: Iterable[Any]) -> Iterator[Any]:
    """Yield batches; an OSError or ValueError in the place of one is raised."""
    for batch in batches:
        if isinstance(batch, Exception):
            raise batch
        yield batch


class MappedLoader:
    """Endless batches gathered from images in a memory-mapped file; the next batch is read while one is trained on.

    Args:
        pixels: uint8 images, (size, channels, height, width).
        rows: of `pixels`, which `order` counts.
        labels: classes of these rows, int64, or None.
        order: which of them to take.
        device: where batches are wanted. Pixels travel there as uint8, a quarter of float32.
        first_step: returns the step to begin at; called whenever iteration begins.
    """

    def __init__(
        self,
        pixels: Tensor,
        rows: Tensor,
        labels: Tensor | None,
        order: DeterministicSampler,
        device: torch.device | str,
        first_step: Callable[[], int] = first_step_of_a_run,
    ) -> None:
        self.pixels, self.rows, self.labels, self.order = pixels, rows, labels, order
        self.device, self.first_step = torch.device(device), first_step

    def __iter__(self) -> Iterator[Batch]:
        with ThreadPoolExecutor(1) as pool:
            ahead = map(lambda step: pool.submit(self._gather, step), count(self.first_step()))
            current = next(ahead)
            for following in ahead:
                pixels, labels = current.result()
                pixels = pixels.to(self.device).contiguous(memory_format=torch.channels_last)
                yield normalize(pixels), None if labels is None else labels.to(self.device)
                current = following

    def _gather(self, step: int) -> tuple[Tensor, Tensor | None]:
        order = self.order.indices(step)
        return self.pixels[self.rows[order]], None if self.labels is None else self.labels[order]


class BatchSampler:
    """A `DeterministicSampler` as the endless batch sampler of a `DataLoader`."""

    def __init__(self, order: DeterministicSampler, first_step: Callable[[], int]) -> None:
        self.order, self.first_step = order, first_step

    def __iter__(self) -> Iterator[list[int]]:
        step = self.first_step()
        while True:
            yield self.order.indices(step).tolist()
            step += 1
