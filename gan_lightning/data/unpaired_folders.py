"""Any two folders of images."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_lightning.data.decode import Decoding
from gan_lightning.data.files import ImageDataset
from gan_lightning.data.image_data import Images
from gan_lightning.data.unpaired import Domains, UnpairedImages
from gan_lightning.utils.checks import check_int
from gan_lightning.utils.find_images import find_images, shown

log = logging.getLogger(__name__)


class UnpairedFolders(UnpairedImages):
    """Domain A and domain B are two folders: of as many images as they have, at any depth and of any size.

    Each image is scaled and cropped about its centre to a square. All are held in memory, as uint8.

    Args:
        a: the folder of domain A.
        b: that of domain B.
        image_size: height and width that images are brought to, pixels.
        channels: 3 for colour, 1 for grey; images of the other kind are converted.
        num_workers: processes that decode images; 0 decodes them in this one.
        unpaired_images: arguments of `UnpairedImages`; `shape` is (2 * channels, image_size, image_size).
    """

    def __init__(
        self,
        *,
        a: str,
        b: str,
        image_size: int,
        channels: int,
        num_workers: int,
        **unpaired_images: Any,
    ) -> None:
        super().__init__(**unpaired_images)
        if channels not in (1, 3):
            raise ValueError(f"data.channels must be 3 (colour) or 1 (grey), not {channels!r}")
        self.image_size, self.channels = check_int("data.image_size", image_size), channels
        if self.shape != (2 * channels, image_size, image_size):
            raise ValueError(
                f"data.shape={list(self.shape)} must follow data.channels and data.image_size: "
                f"{[2 * channels, image_size, image_size]}"
            )
        self.a, self.b = a, b
        self.num_workers = check_int("data.num_workers", num_workers, minimum=0)

    def read(self) -> Domains:
        a, b = (
            Images(read_folder(key, str(folder), self.channels, self.image_size, self.num_workers), None)
            for key, folder in (("data.a", self.a), ("data.b", self.b))
        )
        return Domains(a, b)


@lru_cache(maxsize=2)
def read_folder(key: str, folder: str, channels: int, size: int, workers: int) -> Tensor:
    """Return the images in a folder, (count, channels, size, size) of uint8.

    Those read last are kept, for the data and the prior are of the same images: do not write to them.

    Args:
        key: name of the folder in messages.
        folder: where the images are, at any depth.
        channels: 1 or 3.
        size: pixels.
        workers: processes that decode.

    Raises:
        FileNotFoundError: there are none.
        ValueError: one of them cannot be read.
    """
    root = Path(folder).expanduser()
    images = ImageDataset(key, find_images(key, root), Decoding(channels, (size, size)))
    log.info("reading the %d images in %s into memory", len(images), shown(root))
    pixels = torch.empty(len(images), channels, size, size, dtype=torch.uint8)
    images.read_all(workers, pixels)
    return pixels
