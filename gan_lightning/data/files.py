"""Files of images: found in a folder, read, and brought to one size and kind. Every folder of images is read here."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms.v2 import functional as vision

from gan_lightning.data.base import THREADS, RealData, fingerprint_of_files, rank_slice
from gan_lightning.data.pixels import normalize
from gan_lightning.game import Batch
from gan_lightning.utils.checks import check_int

GREY, DEEP = ("1", "L", "LA"), ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's names for grey pixels, and for those of more than 8 bits."""


def find_images(key: str, root: Path) -> list[Path]:
    """Return the images in a folder and the folders below it, folder by folder in the order of their names.

    Args:
        key: name of the folder in messages, such as data.root.
        root: the folder.

    Raises:
        FileNotFoundError: there is no such folder, or no image in it.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{key}={root} is no folder: give a folder with images in it")
    found = sorted((folder, sorted(names)) for folder, _, names in os.walk(root, followlinks=True))
    paths = [Path(folder, name) for folder, names in found for name in names if name.lower().endswith(IMG_EXTENSIONS)]
    if not paths:
        raise FileNotFoundError(f"{key}={root} has no images in it (png, jpg, webp, ...): give a folder that has")
    return paths


def read_image(key: str, path: Path, channels: int, size: int | None = None) -> Tensor:
    """Return an image, uint8 (channels, height, width).

    Args:
        key: name of its folder in messages.
        path: of the file.
        channels: 3 or 1: the image becomes colour or grey (ITU-R 601).
        size: height and width that the image is brought to, see `fit`; None keeps it as it is.

    Raises:
        ValueError: it cannot be read, or has more than 8 bits a channel.
    """
    image = decode(key, path, channels)
    return vision.pil_to_tensor(image if size is None else fit(image, size))


def decode(key: str, path: Path, channels: int) -> Image.Image:
    """Return the image in a file in colour or grey, see `read_image`."""
    try:
        with Image.open(path) as file:
            mode = file.mode
            image = file.convert("L" if channels == 1 else "RGB")
    except Exception as error:  # every kind of file is broken in its own way
        raise unreadable(key, path, error) from error
    refuse_deep(key, path, mode)
    return image


def fit(image: Image.Image, size: int) -> Image.Image:
    """Return a square of `size` pixels: the shorter side is scaled to it, antialiased, and the centre cut out."""
    return vision.center_crop(vision.resize(image, [size]), [size, size])


def read_header(key: str, path: Path) -> tuple[tuple[int, int], int]:
    """Return height and width, and channels, of an image from the head of its file.

    Raises:
        ValueError: it cannot be read, or has more than 8 bits a channel.
    """
    try:
        with Image.open(path) as image:
            (width, height), mode = image.size, image.mode
    except Exception as error:  # every kind of file is broken in its own way
        raise unreadable(key, path, error) from error
    refuse_deep(key, path, mode)
    return (height, width), 1 if mode in GREY else 3


def refuse_deep(key: str, path: Path, mode: str) -> None:
    """Refuse pixels of more than 8 bits.

    Raises:
        ValueError: for these.
    """
    if mode in DEEP:
        raise ValueError(f"{key}: {path} has more than 8 bits a channel: convert it to 8 bits")


def unreadable(key: str, path: Path, error: Exception) -> ValueError:
    """Return the error that names a file that cannot be read."""
    return ValueError(f"{key}: {path} cannot be read ({error}): repair it or take it away")


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """Images read from their files whenever they are indexed: (uint8 image (channels, size, size), class).

    Args:
        key: name of their folder in messages.
        paths: of the files.
        labels: their classes; None gives class 0 to all.
        channels: 3 or 1.
        size: height and width that images are brought to.
    """

    def __init__(
        self, key: str, paths: Sequence[Path], channels: int, size: int, labels: Sequence[int] | None = None
    ) -> None:
        self.key, self.paths, self.channels, self.size = key, list(paths), channels, size
        self.labels = [0] * len(self.paths) if labels is None else list(labels)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return read_image(self.key, self.paths[row], self.channels, self.size), self.labels[row]

    def read_all(self, threads: int) -> Tensor:
        """Return all images, (count, channels, size, size) of uint8, read by `threads` threads.

        Raises:
            ValueError: one of them cannot be read.
        """
        pixels = torch.empty(len(self), self.channels, self.size, self.size, dtype=torch.uint8)

        def read(row: int) -> None:
            pixels[row] = self[row][0]

        with ThreadPoolExecutor(max(1, threads)) as pool:
            for _ in pool.map(read, range(len(self))):  # an error is raised where its result is taken
                pass
        return pixels


class ImageFiles(RealData):
    """The images in a folder and the folders below it, without classes, for evaluation: read anew each time.

    Args:
        key: name of the folder in messages.
        root: the folder.
        image_size: scale the shorter side to it and cut out a square about the centre; None: all images must be of one
            size.
        channels: 3 or 1: convert images to colour or to grey; None: all must be of one kind.

    Raises:
        FileNotFoundError: there is no such folder, or no image in it.
        ValueError: a file cannot be read, or images differ in size or kind.
    """

    def __init__(self, key: str, root: str | Path, image_size: int | None = None, channels: int | None = None) -> None:
        self.key, self.folder = key, Path(root).expanduser()
        self.image_size = None if image_size is None else check_int("image_size", image_size)
        if channels not in (None, 1, 3):
            raise ValueError(f"channels must be 3 (colour), 1 (grey) or null, not {channels!r}")
        self.paths = sorted(find_images(key, self.folder))
        with ThreadPoolExecutor(THREADS) as pool:
            headers = list(pool.map(lambda path: read_header(key, path), self.paths))
        self.channels = channels or self.common("channels=3 (or 1)", "channels", [number for _, number in headers])
        if self.image_size is None:
            sides: Sequence[int] = self.common("image_size=N", "size (height, width)", [size for size, _ in headers])
        else:
            sides = (self.image_size, self.image_size)
        super().__init__(shape=(self.channels, *sides), num_classes=None, value_range=(-1, 1), batch_size=1, seed=0)

    def common(self, way_out: str, what: str, found: Sequence[object]) -> Any:
        """Return the value that all images have in common.

        Raises:
            ValueError: they differ.
        """
        kinds = Counter(found).most_common()
        if len(kinds) > 1:
            (most, _), (other, _) = kinds[:2]
            path = self.paths[list(found).index(other)]
            raise ValueError(
                f"{self.key}={self.folder} holds images of different {what}, such as {most} and {other} ({path.name}): "
                f"bring them to one by {way_out}"
            )
        return kinds[0][0]

    def read(self, path: Path) -> Tensor:
        """Return an image, uint8 of `shape`."""
        return read_image(self.key, path, self.channels, self.image_size)

    @property
    def reference_size(self) -> int:
        """Return the number of images."""
        return len(self.paths)

    def labelled_reference_batches(
        self, device: torch.device | str, rank: int = 0, world_size: int = 1, batch_size: int = 500
    ) -> Iterator[Batch]:
        """See `RealData`; images, float32 in [-1, 1], in the order of their names."""
        mine = rank_slice(len(self.paths), rank, world_size)
        with ThreadPoolExecutor(THREADS) as pool:
            for start in range(mine.start, mine.stop, batch_size):
                images = pool.map(self.read, self.paths[start : min(start + batch_size, mine.stop)])
                yield normalize(torch.stack(list(images)).to(device)), None

    def fingerprint(self, train: bool | None = None) -> str | None:
        """See `RealData`: of the names and contents of the files, which are read once for it."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        names = {str(path.relative_to(self.folder)): path for path in self.paths}
        return fingerprint_of_files(f"{self.shape} {self.image_size}", names)
