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
from torch.utils.data import DataLoader, Subset

from gan_lightning.data.base import Loader, fingerprint_of_files, rank_slice
from gan_lightning.data.decode import Decoding, Fit, colour
from gan_lightning.data.file_loaders import Attempts, DiskLoader, MappedLoader, batch_or_error, raised
from gan_lightning.data.files import ImageDataset, OnError
from gan_lightning.data.image_data import ImageData, Images, fingerprint_of
from gan_lightning.data.image_options import check_choice, check_reference, check_size
from gan_lightning.data.loader import DeterministicSampler
from gan_lightning.data.mirror import Mirrored
from gan_lightning.data.pixel_cache import Cached, cached_pixels
from gan_lightning.data.pixels import normalize
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
        if self.classes is not None and self.num_classes is None:
            raise ValueError("data.classes needs classes: the images have none, or data.num_classes=null leaves them")
        self.in_memory = in_memory
        if in_memory not in (None, True, False, "cache"):
            raise ValueError(f"data.in_memory must be true, false, cache or null, not {in_memory!r}")
        self.num_workers = check_int("data.num_workers", num_workers, minimum=0)
        self._ready = False
        self.kinds: Counter[str] = Counter()  # training images by format and mode, once they were decoded
        self._mapped: dict[bool, Cached] = {}

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
    def class_names(self) -> tuple[str, ...] | None:  # type: ignore[override]
        """Return the classes' names by number; None where there are no classes."""
        return self.found.class_names

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
        if self.clusters is not None and self.storage != "memory":
            raise ValueError("data.clusters needs the images in memory: data.in_memory=true, or data.clusters=null")
        splits = [True] if self.reference == "train" else [True, False]
        for train in splits:
            self.dataset(train)
            if self.storage == "memory":
                self.split(train, self.placement().device)
            elif self.storage == "cache":
                self._cached(train)
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
        return Images(pixels if len(rows) == len(pixels) else pixels[rows], self._labels(train, rows))

    def _labels(self, train: bool, rows: Sequence[int]) -> Tensor | None:
        if not self.labelled:
            return None
        return torch.tensor(self.dataset(train).labels, dtype=torch.int64)[list(rows)]

    def _cached(self, train: bool) -> Cached:
        if train not in self._mapped:
            folder = cache_folder()
            assert folder is not None
            self._mapped[train] = cached_pixels(self.dataset(train), self.shape, self.num_workers, folder)
            if train:
                self.kinds.update(self._mapped[train].kinds)
        return self._mapped[train]

    def train_dataloader(self) -> Loader:
        """Return endless batches, from the step that the run has reached."""
        batches = self._train_batches()
        if not self.mirror:
            return batches
        _, rank, world_size = self.placement()
        return Mirrored(batches, self.batch_size, self.seed, self.step, rank, world_size)

    def _train_batches(self) -> Loader:
        if self.storage == "memory":
            return super().train_dataloader()
        device, rank, world_size = self.placement()
        images = self.dataset(train=True)
        if self.storage == "disk":
            order = DeterministicSampler(len(images), self.batch_size, self.seed, rank, world_size)
            return DiskLoader(images, self.labelled, order, device, self.num_workers, self.step)
        pixels, rows, _ = self._cached(train=True)
        order = DeterministicSampler(len(rows), self.batch_size, self.seed, rank, world_size)
        return MappedLoader(pixels, torch.tensor(rows), self._labels(True, rows), order, device, self.step)

    @property
    def reference_size(self) -> int:
        if self.storage == "memory":
            return super().reference_size
        train = self.reference == "train"
        return len(self.dataset(train)) if self.storage == "disk" else len(self._cached(train).rows)

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
        mine = rank_slice(self.reference_size, rank, world_size)
        for images, labels in self._in_order(train, mine, batch_size):
            yield normalize(images.to(device)), labels.to(device) if self.labelled else None

    def _in_order(self, train: bool, rows: range, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield uint8 images of `rows` and their classes, which are 0 where there are none."""
        images = self.dataset(train)
        if self.storage == "cache":
            pixels, whole, _ = self._cached(train)
            labels = torch.tensor(images.labels)
            for part in torch.tensor(whole)[rows.start : rows.stop].split(batch_size):
                yield pixels[part], labels[part]
            return
        workers = self.num_workers if len(rows) > batch_size else 0  # one batch is read sooner than they have started
        # A generator of its own: iterating would draw from the global one.
        batches: DataLoader[Any] = DataLoader(
            Attempts(Subset(images, rows)),
            batch_size,
            num_workers=workers,
            collate_fn=batch_or_error,
            generator=torch.Generator(),
        )
        yield from raised(batches)

    def examples(self, count: int, device: torch.device | str, labels: Tensor | None = None) -> Tensor:
        if self.storage == "memory":
            return super().examples(count, device, labels)
        train = self.reference == "train"
        if self.storage == "cache":
            pixels, whole, _ = self._cached(train)
            classes = self._labels(train, whole)
            rows = self.example_rows(len(whole), count, classes, labels).tolist()
            return normalize(pixels[[whole[row] for row in rows]].to(device))
        images = self.dataset(train)
        classes = self._labels(train, range(len(images)))
        rows = self.example_rows(len(images), count, classes, labels).tolist()
        return normalize(torch.stack([images[row][0] for row in rows]).to(device))

    def label_counts(self) -> Tensor | None:
        if self.storage == "memory":
            return super().label_counts()
        if not self.labelled:
            return None
        return torch.bincount(torch.tensor(self.dataset(train=True).labels), minlength=self.num_classes or 0)

    def fingerprint(self, train: bool | None = None) -> str | None:
        """See `RealData`; of images that are read again and again, the names and contents of their files.

        The files are read once for it.
        """
        split = self.reference == "train" if train is None else train
        if self.storage == "memory":
            return super().fingerprint(train)
        if self.storage == "cache":
            pixels, rows, _ = self._cached(split)
            return fingerprint_of(Images(pixels, self._labels(split, rows)))
        images = self.dataset(split)
        names = {f"{path}\0{label}": path for path, label in zip(images.paths, images.labels, strict=True)}
        return fingerprint_of_files(f"{self.shape} {self.num_classes} {self.decoding}", names)


def counted(kinds: Counter[str]) -> str:
    """Return how many there are of each kind, as in ``PNG RGB 700, JPEG RGB 96``."""
    return ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
