"""The images in a folder as they are, to be judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms.v2 import functional as vision

from gan_lightning.data.base import THREADS, RealData, fingerprint_of_files, rank_slice
from gan_lightning.data.loader import Batch
from gan_lightning.data.pixels import normalize
from gan_lightning.utils.checks import check_int

GREY, DEEP = ("1", "L", "LA"), ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's names for grey pixels, and for those of more than 8 bits."""


class ImageFiles(RealData):
    """The images in a folder and the folders below it, without classes, read anew each time.

    Args:
        key: what the folder is called in messages.
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
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{key}={root} does not exist: give a folder of images")
        self.paths = sorted(path for path in self.folder.rglob("*") if path.suffix.lower() in IMG_EXTENSIONS)
        if not self.paths:
            raise FileNotFoundError(f"{key}={root} has no images in it (png, jpg, webp, ...): give a folder that has")
        with ThreadPoolExecutor(THREADS) as pool:
            heads = list(pool.map(self.head, self.paths))
        self.channels = channels or self.common("channels=3 (or 1)", "channels", [number for _, number in heads])
        if self.image_size is None:
            sides: Sequence[int] = self.common("image_size=N", "size (height, width)", [size for size, _ in heads])
        else:
            sides = (self.image_size, self.image_size)
        super().__init__(shape=(self.channels, *sides), num_classes=None, value_range=(-1, 1), batch_size=1, seed=0)

    def head(self, path: Path) -> tuple[tuple[int, int], int]:
        """Height, width and channels of an image, from the head of its file."""
        try:
            with Image.open(path) as image:
                (width, height), mode = image.size, image.mode
        except Exception as error:  # every kind of file is broken in its own way
            raise self.broken(path, error) from error
        if mode in DEEP:
            raise ValueError(f"{self.key}: {path} has more than 8 bits a channel: convert it to 8 bits")
        return (height, width), 1 if mode in GREY else 3

    def broken(self, path: Path, error: Exception) -> ValueError:
        """That a file cannot be read, in a sentence."""
        return ValueError(f"{self.key}: {path} cannot be read ({error}): repair it or take it away")

    def common(self, way_out: str, what: str, found: Sequence[object]) -> Any:
        """What all images have in common.

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
        """An image, uint8 of `shape`."""
        try:
            with Image.open(path) as file:
                image = file.convert("L" if self.channels == 1 else "RGB")
        except Exception as error:
            raise self.broken(path, error) from error
        if self.image_size is not None:
            image = vision.center_crop(vision.resize(image, [self.image_size]), [self.image_size, self.image_size])
        return vision.pil_to_tensor(image)

    @property
    def reference_size(self) -> int:
        """All images."""
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
