"""Any folder of images."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from gan_lightning.data.base import ImageData, Images, Loader, fingerprint_of_files, rank_slice
from gan_lightning.data.files import ImageDataset, find_images
from gan_lightning.data.loader import DeterministicSampler, DiskLoader
from gan_lightning.data.pixels import normalize
from gan_lightning.game import Batch
from gan_lightning.utils.checks import check_bool, check_int

log = logging.getLogger(__name__)

MEMORY_BYTES = 4 * 2**30
"""Images that take less than this as uint8 are held in memory."""


class ImageFolder(ImageData):
    """The images in a folder and the folders below it, each scaled and cropped about its centre to a square.

    Metrics compare with all of them: there is no test split.

    Args:
        root: the folder.
        image_size: height and width that images are brought to, pixels.
        channels: 3 for colour, 1 for grey; images of the other kind are converted.
        num_classes: how many folders `root` holds, each then a class, numbered in the order of their names; None:
            images are found at any depth, and there are no labels.
        in_memory: hold all images in memory, as uint8; False reads them from disk again and again; None holds them if
            they take less than `MEMORY_BYTES`.
        num_workers: processes that read images; 0 reads them in this one.
        image_data: further arguments of `ImageData`.
    """

    def __init__(
        self,
        *,
        root: str | None,
        image_size: int,
        channels: int,
        num_classes: int | None,
        in_memory: bool | None,
        num_workers: int,
        **image_data: Any,
    ) -> None:
        super().__init__(image_size=check_int("data.image_size", image_size), num_classes=num_classes, **image_data)
        if root is None:
            raise ValueError("data.root must name the folder of images: data.root=/path/to/images")
        if channels not in (1, 3):
            raise ValueError(f"data.channels must be 3 (colour) or 1 (grey), not {channels!r}")
        if self.shape != (channels, image_size, image_size):
            raise ValueError(
                f"data.shape={list(self.shape)} must follow data.channels and data.image_size: "
                f"{[channels, image_size, image_size]}"
            )
        if self.reference != "train":
            raise ValueError("data.reference must be train: a folder of images has no test split")
        if self.classes is not None and num_classes is None:
            raise ValueError("data.classes needs classes: set data.num_classes to the number of folders in data.root")
        self.root = Path(root).expanduser()
        self.in_memory = None if in_memory is None else check_bool("data.in_memory", in_memory)
        self.num_workers = check_int("data.num_workers", num_workers, minimum=0)

    @cached_property
    def dataset(self) -> ImageDataset:
        """Return the images of the classes that are kept, read from their files whenever they are indexed.

        Raises:
            FileNotFoundError: there are no images, or a class has none.
            ValueError: `num_classes` or `classes` are not what the folder has.
        """
        if self.num_classes is None:
            return ImageDataset("data.root", find_images("data.root", self.root), *self._kind)
        paths, labels = self.images_by_class(self.num_classes)
        rows = self.rows_of_classes(torch.tensor(labels)).tolist()
        return ImageDataset(
            "data.root", [paths[row] for row in rows], *self._kind, labels=[labels[row] for row in rows]
        )

    @property
    def _kind(self) -> tuple[int, int]:
        return self.shape[0], self.shape[1]

    def images_by_class(self, num_classes: int) -> tuple[list[Path], list[int]]:
        """Return all images and the number of the folder that each lies in.

        Raises:
            FileNotFoundError: there are no folders, or one has no images.
            ValueError: there are not as many folders as `num_classes`.
        """
        folders = sorted(path for path in self.root.iterdir() if path.is_dir()) if self.root.is_dir() else []
        if not folders:
            raise FileNotFoundError(
                f"data.root={self.root} must hold a folder of images (png, jpg, webp, ...) for each class; "
                "data.num_classes=null needs no classes"
            )
        if len(folders) != num_classes:
            raise ValueError(
                f"data.num_classes={num_classes} but data.root={self.root} holds {len(folders)} folders: "
                f"set data.num_classes={len(folders)}"
            )
        found = [find_images("a class of data.root", folder) for folder in folders]
        labels = [label for label, paths in enumerate(found) for _ in paths]
        return [path for paths in found for path in paths], labels

    @cached_property
    def resident(self) -> bool:
        """Return whether images are held in memory."""
        fits = len(self.dataset) * math.prod(self.shape) < MEMORY_BYTES
        return fits if self.in_memory is None else self.in_memory

    def setup(self, stage: str) -> None:
        """Find the images, and read them if they are to be in memory."""
        if stage == "fit" and self.resident:
            super().setup(stage)

    def read(self, train: bool) -> Images:
        """Read all images."""
        log.info("reading the %d images in %s into memory", len(self.dataset), self.root)
        pixels = torch.empty(len(self.dataset), *self.shape, dtype=torch.uint8)
        labels = torch.empty(len(self.dataset), dtype=torch.int64)
        start = 0
        for images, classes in self._in_order(range(len(self.dataset)), batch_size=256):
            rows = slice(start, start + len(images))
            pixels[rows], labels[rows] = images, classes
            start += len(images)
        return Images(pixels, None if self.num_classes is None else labels)

    def train_dataloader(self) -> Loader:
        """Return endless batches, from the step that the run has reached."""
        if self.resident:
            return super().train_dataloader()
        device, rank, world_size = self.placement()
        order = DeterministicSampler(len(self.dataset), self.batch_size, self.seed, rank, world_size)
        return DiskLoader(self.dataset, self.num_classes is not None, order, device, self.num_workers, self.step)

    @property
    def reference_size(self) -> int:
        """Return the number of images in the folder, of the classes that are kept."""
        return len(self.dataset)

    def labelled_reference_batches(
        self, device: torch.device | str, rank: int = 0, world_size: int = 1, batch_size: int = 500
    ) -> Iterator[Batch]:
        """See `RealData`; images, float32 in [-1, 1]."""
        if self.resident:
            yield from super().labelled_reference_batches(device, rank, world_size, batch_size)
            return
        labelled = self.num_classes is not None
        for images, labels in self._in_order(rank_slice(len(self.dataset), rank, world_size), batch_size):
            yield normalize(images.to(device)), labels.to(device) if labelled else None

    @property
    def reference_split(self) -> str:
        """Return the name of the one split."""
        return "all"

    def fingerprint(self, train: bool | None = None) -> str | None:
        """See `RealData`; of images that are read again and again, the names and contents of their files.

        The files are read once for it.
        """
        return super().fingerprint(train) if self.resident else self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        labelled = zip(self.dataset.paths, self.dataset.labels, strict=True)
        names = {f"{path.relative_to(self.root)}\0{label}": path for path, label in labelled}
        return fingerprint_of_files(f"{self.shape} {self.num_classes}", names)

    def _in_order(self, rows: range, batch_size: int) -> DataLoader[tuple[Tensor, int]]:
        # A generator of its own: iterating would draw from the global one.
        images = Subset(self.dataset, rows)
        workers = self.num_workers if len(rows) > batch_size else 0  # one batch is read sooner than they have started
        return DataLoader(images, batch_size, num_workers=workers, generator=torch.Generator())
