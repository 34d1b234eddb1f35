"""Images translated by CycleGAN: a folder of the user's, or those that the run was trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_lightning.data.image_folder import ImageFolder
from gan_lightning.data.pixels import normalize, to_uint8
from gan_lightning.models.cyclegan import CycleGANGenerators
from gan_lightning.sampling.output import save_image
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.progress_bar import track

DIRECTIONS = ("a_to_b", "b_to_a")
BATCH_SIZE = 16
"""Images translated at a time."""

COLUMNS = 10
"""Sources side by side in a picture, each above what became of it."""


@torch.no_grad()
def translate(network: CycleGANGenerators, direction: str, images: Tensor) -> Tensor:
    """Return `images` (count, channels, size, size) in [-1, 1] in the other domain, float32, on the CPU."""
    one_way = network.a_to_b if direction == "a_to_b" else network.b_to_a
    device = next(network.parameters()).device
    with torch.autocast(device.type, enabled=False):
        return torch.cat([one_way(part.to(device)).float().cpu() for part in images.split(BATCH_SIZE)])


def side_by_side(sources: Tensor, translations: Tensor) -> Tensor:
    """Return rows of `COLUMNS` sources, or all of fewer, each above its translations; blank where they end."""
    columns = min(COLUMNS, len(sources))
    missing = -len(sources) % columns
    both = torch.stack([sources, translations])
    blank = both.new_zeros(2, missing, *both.shape[2:])
    rows = torch.cat([both, blank], dim=1).unflatten(1, (-1, columns))
    return rows.transpose(0, 1).flatten(0, 2)


class Folder:
    """The images of a folder as a model reads them.

    Args:
        source: the folder; images lie in it at any depth.
        shape: of an image, (1 or 3, size, size); each is scaled, cropped about its centre and made grey or colour.

    Raises:
        UserError: there is no folder, or no image in it.
    """

    def __init__(self, source: Path, shape: Sequence[int]) -> None:
        self.root = source.expanduser()
        if not self.root.is_dir():
            raise UserError(f"source={source} is no folder: give one with images in it")
        facts: dict[str, Any] = {"shape": shape, "value_range": (-1, 1), "batch_size": 1, "seed": 0}
        folder = ImageFolder(
            root=str(self.root),
            image_size=shape[1],
            channels=shape[0],
            num_classes=None,
            in_memory=False,
            num_workers=0,
            **facts,
        )
        try:
            self.images = folder.dataset
        except FileNotFoundError as error:
            raise UserError(
                f"source={source} has no images in it (png, jpg, webp, ...): give a folder that has"
            ) from error
        found: list[tuple[str, int]] = self.images.dataset.samples  # type: ignore[attr-defined]  # an ImageFolder
        self.files = [Path(path) for path, _ in found]

    def read(self, row: int) -> Tensor:
        """An image in [-1, 1], (channels, size, size).

        Raises:
            UserError: it cannot be read.
        """
        try:
            return normalize(self.images[row][0])
        except Exception as error:  # every kind of file is broken in its own way
            raise UserError(f"{self.files[row]} cannot be read ({error}): repair it or take it away") from error

    def names(self) -> list[Path]:
        """A path for what becomes of each image, as its own in the folder: ``x/photo.png`` of ``x/photo.jpg``.

        Where that would be one name for two, every one keeps its ending: ``x/photo.jpg.png``.
        """
        files = [file.relative_to(self.root) for file in self.files]
        names = [file.with_suffix(".png") for file in files]
        twice = max(Counter(str(name).casefold() for name in names).values()) > 1
        return [file.with_name(f"{file.name}.png") for file in files] if twice else names

    def translate(self, make: Callable[[Tensor], Tensor], target: Path) -> None:
        """Write what `make` makes of each image into the new folder `target`, as PNGs.

        Raises:
            UserError: an image cannot be read.
            OSError: one cannot be written.
        """
        names = [target / name for name in self.names()]
        target.mkdir()
        for first in track(range(0, len(names), BATCH_SIZE), "Translating"):
            rows = range(first, min(first + BATCH_SIZE, len(names)))
            images = make(torch.stack([self.read(row) for row in rows]))
            for row, pixels in zip(rows, to_uint8(images), strict=True):
                names[row].parent.mkdir(parents=True, exist_ok=True)
                save_image(pixels, names[row])
