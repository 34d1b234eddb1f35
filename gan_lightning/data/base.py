"""The base class of sources of real samples."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from lightning import LightningDataModule
from torch import Tensor

from gan_lightning.data.file_loaders import DiskLoader, MappedLoader
from gan_lightning.data.loader import InMemoryLoader, StreamLoader
from gan_lightning.data.mirror import Mirrored
from gan_lightning.game import Batch
from gan_lightning.utils.checks import Readable, check_int, check_ints, fingerprint

Loader = InMemoryLoader | StreamLoader | DiskLoader | MappedLoader | Mirrored
THREADS = 4
"""Threads that read files."""


class Placement(NamedTuple):
    """Where batches are wanted: a device, and which of how many devices it is."""

    device: torch.device
    rank: int
    world_size: int


class RealData(LightningDataModule, ABC):
    """A source of real samples. Nothing is read or downloaded before `prepare_data` and `setup`.

    Args:
        shape: of one sample: (channels, height, width), or (dim,).
        num_classes: how many classes labels may name; None where there are none.
        value_range: lowest and highest value of a sample; None where there is no bound.
        batch_size: samples of one step over all devices.
        seed: of the order or the draw of samples.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_classes: int | None,
        value_range: Sequence[float] | None,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.shape = check_ints("data.shape", shape, minimum=1)
        self.num_classes = None if num_classes is None else check_int("data.num_classes", num_classes)
        self.value_range = None if value_range is None else tuple(value_range)
        self.batch_size = check_int("data.batch_size", batch_size)
        self.seed = check_int("seed", seed, minimum=0)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Return the names of the classes, by number; None where they have none."""
        return None

    @property
    def training_size(self) -> int | None:
        """Return how many samples are trained on; None where each batch is drawn anew."""
        return None

    @property
    @abstractmethod
    def reference_size(self) -> int:
        """Return how many real samples metrics compare with, over all ranks."""

    @property
    def reference_split(self) -> str:
        """Return the name of the split that those samples are."""
        return "all"

    @abstractmethod
    def labelled_reference_batches(
        self, device: torch.device | str, rank: int = 0, world_size: int = 1, batch_size: int = 500
    ) -> Iterator[Batch]:
        """Yield the real samples that metrics compare with: each once over all ranks, the same ones every time.

        Args:
            device: where they are wanted.
            rank: this device, from 0; its share is a run of consecutive samples.
            world_size: number of devices.
            batch_size: largest number of samples at a time on this device.

        Yields:
            float32 (up to `batch_size`, *shape), in `value_range`, and their classes where there are any.
        """

    def reference_batches(
        self, device: torch.device | str, rank: int = 0, world_size: int = 1, batch_size: int = 500
    ) -> Iterator[Tensor]:
        """Yield the samples of `labelled_reference_batches` alone."""
        for samples, _ in self.labelled_reference_batches(device, rank, world_size, batch_size):
            yield samples

    def examples(self, count: int, device: torch.device | str, labels: Tensor | None = None) -> Tensor:
        """Return up to `count` of the samples that metrics compare with, to be looked at; the same ones every time.

        Args:
            count: how many.
            device: where they are wanted.
            labels: the class that each is to have, (count,), where samples have classes.
        """
        return next(iter(self.reference_batches(device, batch_size=count)))

    def fingerprint(self, train: bool | None = None) -> str | None:
        """Return a few characters that stand for samples and their classes: equal ones for equal samples.

        Args:
            train: of the training split, or of the test split; None: of the samples that metrics compare with.

        Returns:
            None where samples are drawn faster than anything about them is read from a cache.
        """
        return None

    def source_fingerprint(self) -> str | None:
        """Return the `fingerprint` of the samples that metrics compare with, under the classes that the data come with.

        Numbers of class-conditional and self-conditioned runs may then stand in one table.
        """
        return self.fingerprint()

    def label_counts(self) -> Tensor | None:
        """Return how many training samples each class has, (num_classes,) of int64; None where there are no labels."""
        return None

    def placement(self) -> Placement:
        """Return where the trainer wants batches; without a trainer, this process's CPU."""
        if self.trainer is None:
            return Placement(torch.device("cpu"), rank=0, world_size=1)
        return Placement(self.trainer.strategy.root_device, self.trainer.global_rank, self.trainer.world_size)

    def step(self) -> int:
        """Return the step that batches start from: the updates made, also before the run was resumed."""
        return 0 if self.trainer is None else int(getattr(self.trainer.lightning_module, "discriminator_updates", 0))

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Leave the batch, which is on the device: Lightning's search for tensors to move would cost time each step."""
        return batch


def fingerprint_of_files(about: str, files: Mapping[str, Readable]) -> str:
    """Return sixteen hexadecimal digits that stand for the contents of files.

    Their times and sizes would not do: uncompressed images of one size are as large, and archives set one time.

    Args:
        about: how they are read.
        files: by their names.
    """
    digest = hashlib.sha256(about.encode())
    with ThreadPoolExecutor(THREADS) as pool:
        for what, content in zip(files, pool.map(fingerprint, files.values()), strict=True):
            digest.update(f"{what}\0{content}\n".encode())
    return digest.hexdigest()[:16]


def rank_slice(size: int, rank: int, world_size: int) -> range:
    """Return the consecutive rows of `rank` out of `size`; the ranks' rows follow each other, as many up to one."""
    return range(rank * size // world_size, (rank + 1) * size // world_size)
