"""Images decoded from files: held in memory, in a memory-mapped file of the cache, or read again and again."""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from gan_lightning.data.base import Loader, rank_slice
from gan_lightning.data.decode import Decoding, Fit, colour
from gan_lightning.data.files import ImageDataset, OnError
from gan_lightning.data.image_data import ImageData, Images, of_as_many
from gan_lightning.data.image_options import check_choice, check_reference, check_size
from gan_lightning.data.loader import DeterministicSampler
from gan_lightning.data.mirror import Mirrored
from gan_lightning.data.pixel_cache import cached_pixels
from gan_lightning.data.pixels import normalize
from gan_lightning.data.stored_images import FileImages, MappedImages, StoredImages
from gan_lightning.game import Batch
from gan_lightning.randomness import generator_for
from gan_lightning.utils.checks import check_bool, check_int
from gan_lightning.utils.class_names import numbered
from gan_lightning.utils.files import cache_folder

log = logging.getLogger(__name__)

MEMORY_BYTES = 4 * 2**30
"""Images that take less than this as uint8 are held in memory."""

Storage = Literal["memory", "cache", "disk"]


class Found(NamedTuple):
    """What a source has found, before anything is decoded.

    Attributes:
        train: the training images.
        held_out: images that are not trained on; None where there are none.
        class_names: None where there are no classes.
        remarks: what else is to be said, such as how many files were left out.
    """

    train: ImageDataset
    held_out: ImageDataset | None
    class_names: tuple[str, ...] | None
    remarks: list[str]


class DecodedImages(ImageData):
    """Images decoded from files. A source defines `find`.

    Args:
        image_size: height and width that images are brought to, pixels; or a list of both.
        channels: 3 for colour, 1 for grey; images of the other kind are converted.
        fit: how they are brought to the size, see `Decoding`.
        background: the colour that transparent pixels are blended on, see `colour`.
        mirror: flip training images left to right at random, each with probability 1/2; metrics' images stay.
        reference: what metrics compare with: train, the training images; test, those that are held out by their
            folder or split; a number between 0 and 1: that share is kept back, drawn from the seed.
        in_memory: True holds all images in memory, as uint8; "cache" in a memory-mapped file of the cache folder that
            later runs find again; False reads them from disk again and again; None holds them in memory if they take
            less than `MEMORY_BYTES`, and else in the cache.
        num_workers: processes that decode images; 0 decodes them in this one.
        on_error: raise, or skip files that cannot be read.
        image_data: further arguments of `ImageData`.
    """

    def __init__(
        self,
        *,
        image_size: int | Sequence[int],
        channels: int,
        in_memory: bool | Literal["cache"] | None,
        num_workers: int,
        fit: Fit = "crop",
        background: object = "white",
        mirror: bool = False,
        reference: str | float = "train",
        on_error: OnError = "raise",
        **image_data: Any,
    ) -> None:
        size = check_size(image_size)
        super().__init__(reference="train" if reference == "train" else "test", **image_data)
        if channels not in (1, 3):
            raise ValueError(f"data.channels must be 3 (colour) or 1 (grey), not {channels!r}")
        if self.shape != (channels, *size):
            raise ValueError(
                f"data.shape={list(self.shape)} must follow data.channels and data.image_size: {[channels, *size]}"
            )
        check_choice("data.fit", fit, ("crop", "pad", "stretch"))
        check_choice("data.on_error", on_error, ("raise", "skip"))
        self.decoding, self.on_error = Decoding(channels, size, fit, colour(background)), on_error
        self.mirror = check_bool("data.mirror", mirror)
        self.compared_with = check_reference(reference)
        if self.classes is not None and self.source_classes is None:
            raise ValueError("data.classes needs classes: the images have none, or data.num_classes=null leaves them")
        self.in_memory = in_memory
        if in_memory not in (None, True, False, "cache"):
            raise ValueError(f"data.in_memory must be true, false, cache or null, not {in_memory!r}")
        self.num_workers = check_int("data.num_workers", num_workers, minimum=0)
        self._ready = False
        self.kinds: Counter[str] = Counter()  # training images by format and mode, once they were decoded
        self._stores: dict[bool, StoredImages] = {}
        self._stored_clusters: dict[bool, Tensor] = {}

    @abstractmethod
    def find(self) -> Found:
        """Find the images of the classes that are kept; an OSError or ValueError if they are not as configured."""

    @cached_property
    def found(self) -> Found:
        """Return what `find` finds, with a share kept back where one is to be, found once."""
        found = self.find()
        if not isinstance(self.compared_with, float):
            return found
        order = torch.randperm(len(found.train), generator=generator_for(self.seed, "held out")).tolist()
        count = round(self.compared_with * len(order))
        if not 0 < count < len(order):
            raise ValueError(f"data.reference={self.compared_with} of {len(order)} images leaves none on one side")
        held_out, train = (found.train.take(sorted(rows)) for rows in (order[:count], order[count:]))
        return found._replace(train=train, held_out=held_out)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Return the classes' names by number; None where there are no classes, or clusters in their place."""
        return self.found.class_names if self.clusters is None else None

    def dataset(self, train: bool) -> ImageDataset:
        """Return the training images, or those that are held out; a ValueError if there are none."""
        images = self.found.train if train else self.found.held_out
        if images is None:
            raise ValueError(
                "data.reference=test, but no images are held out: choose data.reference=train, a folder, or a share "
                "such as 0.1"
            )
        return images

    @cached_property
    def storage(self) -> Storage:
        """Return where images are between their uses."""
        if self.in_memory is None:
            return "memory" if len(self.found.train) * math.prod(self.shape) < MEMORY_BYTES else "cache"
        if self.in_memory == "cache":
            return "cache"
        return "memory" if self.in_memory else "disk"

    def setup(self, stage: str) -> None:
        """Find the images, decode them where they are to be at hand, and say what they are, once."""
        if stage != "fit" or self._ready:
            return
        splits = [True] if self.reference == "train" else [True, False]
        for train in splits:
            if self.storage == "memory":
                self.split(train, self.placement().device)
            else:
                self._stored(train)
        self._say_what_was_found()
        self._ready = True

    def _say_what_was_found(self) -> None:
        train, names = self.found.train, self.class_names
        what = f"read {self.kinds.total()} images ({counted(self.kinds)})" if self.kinds else f"{len(train)} images"
        if names is not None:
            what += f", {len(names)} classes: {numbered(names)}"
        remarks = list(self.found.remarks)
        if any("with transparency" in kind for kind in self.kinds) or not self.kinds:
            remarks.append("transparency is blended on #{:02x}{:02x}{:02x}".format(*self.decoding.background))
        if self.reference != "train":
            remarks.append(f"metrics compare with {len(self.dataset(False))} others: {self.reference_split}")
        log.info("; ".join([what, *remarks]))

    def read(self, train: bool) -> Images:
        """Decode all images of a split."""
        images = self.dataset(train)
        log.info("decoding %d images", len(images))
        pixels = torch.empty(len(images), *self.shape, dtype=torch.uint8)
        rows, kinds = images.read_all(self.num_workers, pixels)
        if train:
            self.kinds.update(kinds)
        labels = torch.tensor(images.labels)[rows] if self.source_classes is not None else None
        return Images(pixels if len(rows) == len(pixels) else pixels[rows], labels)

    def _stored(self, train: bool) -> StoredImages:
        """Return the images of a split that are not in memory."""
        if train not in self._stores:
            images = self.dataset(train)
            if self.storage == "disk":
                self._stores[train] = FileImages(images, self.num_workers)
                return self._stores[train]
            folder = cache_folder()
            assert folder is not None
            cached = cached_pixels(images, self.shape, self.num_workers, folder)
            self._stores[train] = MappedImages(cached, torch.tensor(images.labels))
            if train:
                self.kinds.update(cached.kinds)
        return self._stores[train]

    def labels(self, train: bool) -> Tensor | None:
        if self.storage == "memory":
            return super().labels(train)
        if self.clusters is None:
            return self._labels_of_source(train)
        if train not in self._stored_clusters:
            images, clustered = self._stored(train), None if train else self.labels(train=True)
            if clustered is None:
                log.info("finding %d clusters of %d images", self.clusters, len(images))
                self._stored_clusters[train] = images.clusters(self.clusters, self.describe)
            else:
                self._stored_clusters[train] = images.nearest_clusters(
                    self._stored(train=True), clustered, self.describe
                )
        return self._stored_clusters[train]

    def _labels_of_source(self, train: bool) -> Tensor | None:
        return None if self.source_classes is None else self._stored(train).labels

    def take_clusters(self, clusters: Tensor) -> None:
        if self.storage == "memory":
            super().take_clusters(clusters)
        else:
            self._stored_clusters = {True: of_as_many(clusters, len(self._stored(train=True)), self.num_classes)}

    def train_dataloader(self) -> Loader:
        """Return endless batches, from the step that the run has reached."""
        device, rank, world_size = self.placement()
        if self.storage == "memory":
            batches = super().train_dataloader()
        else:
            images = self._stored(train=True)
            order = DeterministicSampler(len(images), self.batch_size, self.seed, rank, world_size)
            batches = images.loader(self.labels(train=True), order, device, self.step)
        return Mirrored(batches, self.batch_size, self.seed, self.step, rank, world_size) if self.mirror else batches

    @property
    def training_size(self) -> int:
        return super().training_size if self.storage == "memory" else len(self._stored(train=True))

    @property
    def reference_size(self) -> int:
        return super().reference_size if self.storage == "memory" else len(self._stored(self.reference == "train"))

    @property
    def reference_split(self) -> str:
        """Return what metrics compare with: train, test, or the share that was kept back."""
        if isinstance(self.compared_with, float):
            return f"{self.compared_with:g} kept back by seed {self.seed}"
        return self.compared_with

    def labelled_reference_batches(
        self, device: torch.device | str, rank: int = 0, world_size: int = 1, batch_size: int = 500
    ) -> Iterator[Batch]:
        if self.storage == "memory":
            yield from super().labelled_reference_batches(device, rank, world_size, batch_size)
            return
        train = self.reference == "train"
        rows = torch.tensor(rank_slice(self.reference_size, rank, world_size))
        labels = self.labels(train)
        batches = self._stored(train).batches(rows, batch_size)
        for images, part in zip(batches, rows.split(batch_size), strict=True):
            yield normalize(images.to(device)), None if labels is None else labels[part].to(device)

    def examples(self, count: int, device: torch.device | str, labels: Tensor | None = None) -> Tensor:
        if self.storage == "memory":
            return super().examples(count, device, labels)
        train = self.reference == "train"
        images = self._stored(train)
        rows = self.example_rows(len(images), count, self.labels(train), labels)
        return normalize(next(images.batches(rows, len(rows))).to(device))

    def fingerprint(self, train: bool | None = None) -> str | None:
        """See `RealData`; of images that are read again and again, the names and contents of their files.

        The files are read once for it.
        """
        split = self.reference == "train" if train is None else train
        if self.storage == "memory":
            return super().fingerprint(train)
        return self._fingerprint_of_stored(split, self.labels(split), self.num_classes)

    def source_fingerprint(self) -> str | None:
        if self.storage == "memory":
            return super().source_fingerprint()
        train = self.reference == "train"
        return self._fingerprint_of_stored(train, self._labels_of_source(train), self.source_classes)

    def _fingerprint_of_stored(self, train: bool, labels: Tensor | None, classes: int | None) -> str:
        return self._stored(train).fingerprint(labels, f"{self.shape} {classes} {self.decoding}")


def counted(kinds: Counter[str]) -> str:
    """Return how many there are of each kind, as in ``PNG RGB 700, JPEG RGB 96``."""
    return ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
