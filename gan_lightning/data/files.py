"""Files of images as tensors: each by itself, all at once, or as a source of images to evaluate."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gan_lightning.data.base import THREADS, RealData, fingerprint_of_files, rank_slice
from gan_lightning.data.decode import Decoding, UnreadableImageError, decode, read_header, several
from gan_lightning.data.pixels import normalize
from gan_lightning.game import Batch
from gan_lightning.utils.checks import check_int
from gan_lightning.utils.find_images import ImagePath, find_images, shown

log = logging.getLogger(__name__)

OnError = Literal["raise", "skip"]
DECODED_AT_A_TIME = 64
"""Images that a worker process hands over at once."""


def read_image(key: str, path: ImagePath, to: Decoding) -> Tensor:
    """Return an image, uint8 (channels, height, width), decoded as `decode` does.

    Args:
        key: name of its folder in messages.
        path: of the file.
        to: what it is brought to.

    Raises:
        UnreadableImageError: it cannot be read.
    """
    return to_tensor(decode(key, path, to)[0])


def to_tensor(pixels: Any) -> Tensor:
    """Return an array (height, width, channels) as a tensor (channels, height, width)."""
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """Images read from their files whenever they are indexed: (uint8 image (channels, height, width), class).

    Args:
        key: name of their folder in messages.
        paths: of the files.
        to: what images are brought to.
        labels: their classes; None gives class 0 to all.
        on_error: raise, or skip: the next image that can be read takes the place of one that cannot.
    """

    def __init__(
        self,
        key: str,
        paths: Sequence[ImagePath],
        to: Decoding,
        labels: Sequence[int] | None = None,
        on_error: OnError = "raise",
    ) -> None:
        self.key, self.paths, self.to, self.on_error = key, list(paths), to, on_error
        self.labels = [0] * len(self.paths) if labels is None else list(labels)
        self.named: set[int] = set()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        for other in range(row, row + len(self)):
            index = other % len(self)
            try:
                return read_image(self.key, self.paths[index], self.to), self.labels[index]
            except UnreadableImageError as error:
                if self.on_error == "raise":
                    raise
                if index not in self.named:
                    log.warning("%s; skipped", error)
                    self.named.add(index)
        raise UnreadableImageError(f"{self.key}: none of the {len(self)} images can be read")

    def take(self, rows: Sequence[int]) -> ImageDataset:
        """Return the dataset of some rows."""
        paths, labels = [self.paths[row] for row in rows], [self.labels[row] for row in rows]
        return ImageDataset(self.key, paths, self.to, labels, self.on_error)

    def labelled(self, labels: Sequence[int]) -> ImageDataset:
        """Return the dataset with other classes."""
        return ImageDataset(self.key, self.paths, self.to, labels, self.on_error)

    def read_all(self, workers: int, pixels: Tensor) -> tuple[list[int], Counter[str]]:
        """Read all images in order into `pixels`, (count, channels, height, width) of uint8.

        Args:
            workers: processes that decode; 0 decodes in this one.
            pixels: is written to; rows of files that cannot be read stay as they are.

        Returns:
            The rows that could be read, and how many images there are of each format and mode.

        Raises:
            UnreadableImageError: files cannot be read, and `on_error` is raise; it names one and counts the others.
        """
        whole: list[int] = []
        kinds: Counter[str] = Counter()
        errors: list[str] = []
        for row, (image, words) in enumerate(self._decoded(workers)):
            if image is None:
                errors.append(words)
            else:
                pixels[row] = image
                kinds[words] += 1
                whole.append(row)
        if errors and (self.on_error == "raise" or not whole):
            raise UnreadableImageError(several(errors))
        if errors:
            log.warning("%s; skipped", several(errors))
        return whole, kinds

    def _decoded(self, workers: int) -> Iterator[tuple[Tensor | None, str]]:
        """Yield each image with its format and mode, or None with what is wrong with its file."""
        workers = workers if len(self) > 4 * DECODED_AT_A_TIME else 0  # fewer are read sooner than they have started
        # A generator of its own: iterating would draw from the global one.
        batches: DataLoader[Any] = DataLoader(
            _Attempts(self), DECODED_AT_A_TIME, num_workers=workers, collate_fn=list, generator=torch.Generator()
        )
        for batch in batches:
            yield from batch


class _Attempts(Dataset[tuple[Tensor | None, str]]):
    """Each image of a dataset with its format and mode, or None with what is wrong with its file."""

    def __init__(self, images: ImageDataset) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[Tensor | None, str]:
        try:
            pixels, kind = decode(self.images.key, self.images.paths[row], self.images.to)
        except UnreadableImageError as error:
            return None, str(error)
        return to_tensor(pixels), kind


class ImageFiles(RealData):
    """The images in a folder and the folders below it, or in a zip, without classes, for evaluation: read each time.

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
        self.paths = find_images(key, self.folder)
        with ThreadPoolExecutor(THREADS) as pool:
            headers = list(pool.map(lambda path: read_header(key, path), self.paths))
        self.channels = channels or self.common("channels=3 (or 1)", "channels", [head.channels for head in headers])
        if self.image_size is None:
            sides: Sequence[int] = self.common("image_size=N", "size (height, width)", [head.size for head in headers])
        else:
            sides = (self.image_size, self.image_size)
        super().__init__(shape=(self.channels, *sides), num_classes=None, value_range=(-1, 1), batch_size=1, seed=0)

    def common(self, way_out: str, what: str, found: Sequence[object]) -> Any:
        """Return the value that all images have in common; a ValueError, with `way_out`, if they differ."""
        kinds = Counter(found).most_common()
        if len(kinds) > 1:
            (most, _), (other, _) = kinds[:2]
            path = self.paths[list(found).index(other)]
            raise ValueError(
                f"{self.key}={shown(self.folder)} holds images of different {what}, such as {most} and {other} "
                f"({shown(path.name)}): bring them to one by {way_out}"
            )
        return kinds[0][0]

    def read(self, path: ImagePath) -> Tensor:
        """Return an image, uint8 of `shape`."""
        size = None if self.image_size is None else (self.image_size, self.image_size)
        return read_image(self.key, path, Decoding(self.channels, size))

    @property
    def reference_size(self) -> int:
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
        names = {shown(path.relative_to(self.folder)): path for path in self.paths}
        return fingerprint_of_files(f"{self.shape} {self.image_size}", names)
