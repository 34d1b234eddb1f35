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
from gan_lightning.models.cyclegan import LEAST_SIZE, MULTIPLE, CycleGANGenerators
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
    """Return `images` (count, channels, height, width) in [-1, 1] in the other domain, float32, on the CPU.

    Sides that the networks do not take are continued by mirrored pixels, which are cut off again.
    """
    one_way = network.a_to_b if direction == "a_to_b" else network.b_to_a
    device = next(network.parameters()).device
    height, width = images.shape[2:]
    padded = mirrored(mirrored(images, 2), 3)
    with torch.autocast(device.type, enabled=False):
        found = torch.cat([one_way(part.to(device)).float().cpu() for part in padded.split(BATCH_SIZE)])
    return found[:, :, :height, :width]


def mirrored(images: Tensor, dim: int) -> Tensor:
    """Return images whose side `dim` is continued to the next that networks take, as if its end were a mirror."""
    side = images.shape[dim]
    places = torch.arange(max(LEAST_SIZE, -(-side // MULTIPLE) * MULTIPLE), device=images.device)
    period = max(2 * (side - 1), 1)  # there and back, the ends once
    places = places % period
    return images.index_select(dim, torch.minimum(places, period - places).clamp(max=side - 1))


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
    channels: int,
    target: Path,
) -> None:
    """Write the translation of each image into the new folder `target`, as PNGs of its size.

    Args:
        translate_batch: takes and gives images (count, channels, height, width) in [-1, 1].
        root: the folder that the images lie in.
        paths: the images.
        channels: that images are brought to, 1 or 3.
        target: the folder, which must not be there.

    Raises:
        ValueError: an image cannot be read.
        OSError: one cannot be written.
    """
    to = Decoding(channels)
    names = [target / name for name in png_names(root, paths)]
    target.mkdir()
    for row in track(range(len(paths)), "Translating"):
        image = read_image("source", paths[row], to)
        names[row].parent.mkdir(parents=True, exist_ok=True)
        save_image(to_uint8(translate_batch(normalize(image[None])))[0], names[row])


def png_names(root: Path, paths: Sequence[ImagePath]) -> list[Path]:
    """Return a path for the translation of each image, as its own below `root`: ``x/photo.png`` of ``x/photo.jpg``.

    Where that would be one name for two, every one keeps its ending: ``x/photo.jpg.png``.
    """
    files = [Path(path.relative_to(root)) for path in paths]
    names = [file.with_suffix(".png") for file in files]
    twice = max(Counter(str(name).casefold() for name in names).values()) > 1
    return [file.with_name(f"{file.name}.png") for file in files] if twice else names
