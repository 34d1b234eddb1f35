"""Images translated by CycleGAN: a folder of the user's, or those that the run was trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from gan_lightning.data.decode import Decoding
from gan_lightning.data.files import read_image
from gan_lightning.data.pixels import normalize, to_uint8
from gan_lightning.models.cyclegan import CycleGANGenerators
from gan_lightning.sampling.output import save_image
from gan_lightning.utils.find_images import ImagePath
from gan_lightning.utils.progress_bar import track

DIRECTIONS = ("a_to_b", "b_to_a")
BATCH_SIZE = 16
"""Images translated at a time."""

COLUMNS = 10
"""Sources side by side in a picture, each above its translation."""


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


def translate_folder(
    translate_batch: Callable[[Tensor], Tensor],
    root: Path,
    paths: Sequence[ImagePath],
    shape: Sequence[int],
    target: Path,
) -> None:
    """Write the translation of each image into the new folder `target`, as PNGs.

    Args:
        translate_batch: takes and gives images (count, *shape) in [-1, 1].
        root: the folder that the images lie in.
        paths: the images.
        shape: that images are brought to, (1 or 3, size, size).
        target: the folder, which must not be there.

    Raises:
        ValueError: an image cannot be read.
        OSError: one cannot be written.
    """
    to = Decoding(shape[0], (shape[1], shape[2]))
    names = [target / name for name in png_names(root, paths)]
    target.mkdir()
    for first in track(range(0, len(paths), BATCH_SIZE), "Translating"):
        rows = range(first, min(first + BATCH_SIZE, len(paths)))
        images = torch.stack([read_image("source", paths[row], to) for row in rows])
        for row, pixels in zip(rows, to_uint8(translate_batch(normalize(images))), strict=True):
            names[row].parent.mkdir(parents=True, exist_ok=True)
            save_image(pixels, names[row])


def png_names(root: Path, paths: Sequence[ImagePath]) -> list[Path]:
    """Return a path for the translation of each image, as its own below `root`: ``x/photo.png`` of ``x/photo.jpg``.

    Where that would be one name for two, every one keeps its ending: ``x/photo.jpg.png``.
    """
    files = [Path(path.relative_to(root)) for path in paths]
    names = [file.with_suffix(".png") for file in files]
    twice = max(Counter(str(name).casefold() for name in names).values()) > 1
    return [file.with_name(f"{file.name}.png") for file in files] if twice else names
