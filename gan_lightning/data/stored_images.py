"""Images that are not held in memory: in a memory-mapped file of the cache, or decoded from their files at each use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from gan_lightning.data.base import fingerprint_of_files
from gan_lightning.data.clusters import Describe, cluster_images, nearest_clusters
from gan_lightning.data.file_loaders import Attempts, DiskLoader, MappedLoader, batch_or_error, raised
from gan_lightning.data.files import ImageDataset
from gan_lightning.data.image_data import CLUSTERED_AT_ONCE, Images, fingerprint_of
from gan_lightning.data.loader import DeterministicSampler
from gan_lightning.data.pixel_cache import Cached


class StoredImages(ABC):
    """The images of a split, counted from 0."""

    @abstractmethod
    def __len__(self) -> int:
        """Return how many there are."""

    @property
    @abstractmethod
    def labels(self) -> Tensor:
        """Return the classes that they come with, int64; 0 where there are none."""

    @abstractmethod
    def batches(self, rows: Tensor, batch_size: int) -> Iterator[Tensor]:
        """Yield the images of `rows` in their order, uint8 (up to `batch_size`, channels, height, width)."""

    @abstractmethod
    def loader(
        self,
        labels: Tensor | None,
        order: DeterministicSampler,
        device: torch.device,
        first_step: Callable[[], int],
    ) -> DiskLoader | MappedLoader:
        """Return endless batches with these classes; arguments as the loaders have them."""

    @abstractmethod
    def fingerprint(self, labels: Tensor | None, about: str) -> str:
        """Return sixteen hexadecimal digits that stand for the images and `labels`.

        Args:
            labels: their classes, or None.
            about: how the images are decoded.
        """

    def clusters(self, count: int, describe: Describe | None) -> Tensor:
        """Return the k-means cluster, of so many, of each image; see `cluster_images`."""
        return cluster_images(self._rows, len(self), count, describe=describe)

    def nearest_clusters(self, clustered: StoredImages, labels: Tensor, describe: Describe | None) -> Tensor:
        """Return the cluster of each image, of those that the images `clustered` have; see `nearest_clusters`."""
        return nearest_clusters(self._rows(torch.arange(len(self))), clustered._rows, labels, describe=describe)

    def _rows(self, rows: Tensor) -> Iterator[Tensor]:
        return self.batches(rows, CLUSTERED_AT_ONCE)


class MappedImages(StoredImages):
    """Images in a memory-mapped file.

    Args:
        cached: the file's images.
        classes: of all of them, int64.
    """

    def __init__(self, cached: Cached, classes: Tensor) -> None:
        self.pixels, self.rows = cached.pixels, torch.tensor(cached.rows)
        self.classes = classes

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> Tensor:
        return self.classes[self.rows]

    def batches(self, rows: Tensor, batch_size: int) -> Iterator[Tensor]:
        for part in self.rows[rows].split(batch_size):
            yield self.pixels[part]

    def loader(
        self,
        labels: Tensor | None,
        order: DeterministicSampler,
        device: torch.device,
        first_step: Callable[[], int],
    ) -> MappedLoader:
        return MappedLoader(self.pixels, self.rows, labels, order, device, first_step)

    def fingerprint(self, labels: Tensor | None, about: str) -> str:
        return fingerprint_of(Images(self.pixels, labels))


class FileImages(StoredImages):
    """Images that are decoded whenever they are wanted.

    Args:
        images: of the files.
        workers: processes that decode; 0 decodes in this one.
    """

    def __init__(self, images: ImageDataset, workers: int) -> None:
        self.images, self.workers = images, workers

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labels(self) -> Tensor:
        return torch.tensor(self.images.labels)

    def batches(self, rows: Tensor, batch_size: int) -> Iterator[Tensor]:
        workers = self.workers if len(rows) > batch_size else 0  # one batch is read sooner than they have started
        # A generator of its own: iterating would draw from the global one.
        batches: DataLoader[Any] = DataLoader(
            Attempts(Subset(self.images, rows.tolist())),
            batch_size,
            num_workers=workers,
            collate_fn=batch_or_error,
            generator=torch.Generator(),
        )
        for pixels, _ in raised(batches):
            yield pixels

    def loader(
        self,
        labels: Tensor | None,
        order: DeterministicSampler,
        device: torch.device,
        first_step: Callable[[], int],
    ) -> DiskLoader:
        images = self.images if labels is None else self.images.labelled(labels.tolist())
        return DiskLoader(images, labels is not None, order, device, self.workers, first_step)

    def fingerprint(self, labels: Tensor | None, about: str) -> str:
        """Return that of the names and contents of the files, which are read once for it."""
        numbers = [0] * len(self) if labels is None else labels.tolist()
        files = {f"{path}\0{number}": path for path, number in zip(self.images.paths, numbers, strict=True)}
        return fingerprint_of_files(about, files)
