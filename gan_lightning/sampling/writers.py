"""Files of a trained generator's samples: pictures, animations, folders of images, arrays.

Every writer puts its files into `folder`, under a name that begins with `name` and says what is in them, and returns
their paths; `output.write_atomically` says what happens to files that are there already, and to errors. The arguments
`labels`, `truncation` and `seed` are those of `GAN.sample`, as is `count`, which in a grid is about so many;
`class_names`, by number, enter the names of files and stand beside rows. `format` is ``grid``, a picture, ``files``, a
folder of PNGs, or ``npz``, arrays. A prior that cannot draw such latents raises a ValueError.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from gan_lightning.figures.images import FRAME_MS, make_image_grid, row_names, save_animation, save_picture
from gan_lightning.gan import GAN
from gan_lightning.models.cyclegan import is_translator
from gan_lightning.sampling.generate import generate_images, sample_latents, sampling_rng, truncated_prior
from gan_lightning.sampling.interpolation import closed_path
from gan_lightning.sampling.output import save_arrays, save_files, write_atomically
from gan_lightning.sampling.translation import COLUMNS, side_by_side, translate, translate_folder
from gan_lightning.utils.class_names import class_words
from gan_lightning.utils.find_images import find_images
from gan_lightning.utils.folder_facts import file_name_of

MOST_LETTERS = 100
"""Of the classes in the name of a file."""


def write_samples(
    gan: GAN,
    folder: Path,
    name: str,
    count: int,
    labels: Sequence[int] | None = None,
    truncation: float | None = None,
    seed: int = 0,
    format: str = "grid",
    class_names: Sequence[str] | None = None,
) -> list[Path]:
    """Write samples: a picture of all; a folder with a PNG of each; or the arrays `samples` and, if any, `labels`."""
    prior, grid = truncated_prior(gan, truncation), format == "grid"
    latent, columns = sample_latents(prior, count, sampling_rng(gan, seed), labels, grid)
    images, classes = generate_images(gan, latent), None if latent.labels is None else latent.labels.cpu()
    name = f"{name}_{len(images)}{name_suffix(labels, truncation, class_names)}"

    def write(aside: Path) -> None:
        if grid:
            rows = None
            if gan.prior.class_conditional and classes is not None and columns is not None:
                rows = row_names(classes, columns, class_names)
            save_picture(make_image_grid(images, columns=columns, row_names=rows), aside / f"{name}.png")
        elif format == "files":
            words = None
            if class_names is not None and classes is not None:
                words = class_words(classes.tolist(), class_names)
            save_files(images, aside / name, words)
        else:
            save_arrays(aside / f"{name}.npz", classes, samples=images)

    return write_atomically(folder, name, write)


def write_interpolation(
    gan: GAN,
    folder: Path,
    name: str,
    count: int,
    steps: int,
    labels: Sequence[int] | None = None,
    truncation: float | None = None,
    seed: int = 0,
    format: str = "grid",
    class_names: Sequence[str] | None = None,
) -> list[Path]:
    """Write the way from each of `count` samples to the next in `steps` steps, and from the last back to the first.

    It is an animation, and a picture with a row for each sample; or the arrays `samples` (count, steps + 1, ...) and,
    if any, the `labels` of the rows, (count,). Raises a ValueError for fewer than two samples.
    """
    if count < 2:
        raise ValueError(f"interpolate={steps} goes from sample to sample: choose count=2 or more")
    prior = truncated_prior(gan, truncation)
    keys, _ = sample_latents(prior, count, sampling_rng(gan, seed), labels)
    rows = generate_images(gan, closed_path(prior, keys, steps)).unflatten(0, (count, steps + 1))
    name = f"{name}_interpolate{steps}_{count}{name_suffix(labels, truncation, class_names)}"

    def write(aside: Path) -> None:
        if format == "npz":
            of_rows = None if keys.labels is None else keys.labels.cpu()
            return save_arrays(aside / f"{name}.npz", of_rows, samples=rows)
        frames = rows[:, :-1].flatten(0, 1)  # where a row ends the next begins
        pictures = (make_image_grid(frame[None], least_width_px=250) for frame in frames)
        save_animation(pictures, len(frames), aside / f"{name}.gif", last_frame_ms=FRAME_MS)
        save_picture(make_image_grid(rows.flatten(0, 1), columns=steps + 1), aside / f"{name}.png")

    return write_atomically(folder, name, write)


def write_traversal(
    gan: GAN, folder: Path, name: str, count: int, truncation: float | None = None, seed: int = 0
) -> list[Path]:
    """Write a picture with a row for each latent code, of `count` samples or as many as there are categories."""
    latent, columns, blank = truncated_prior(gan, truncation).traverse(count, sampling_rng(gan, seed))
    images = generate_images(gan, latent)
    images[blank.cpu()] = 0  # the grey between the tiles
    name = f"{name}_traverse_{columns}{name_suffix(None, truncation)}"
    return write_atomically(
        folder, name, lambda aside: save_picture(make_image_grid(images, columns=columns), aside / f"{name}.png")
    )


def write_pairs(
    gan: GAN,
    folder: Path,
    name: str,
    count: int,
    directions: Sequence[str],
    seed: int = 0,
    format: str = "grid",
) -> list[Path]:
    """Write `count` of the run's own images with their translations in `directions`: a_to_b, b_to_a, or both.

    It is a picture, the images above their translations; or the arrays `a` and `a_to_b`, `b` and `b_to_a`.
    """
    network = gan.averaged_generator
    assert is_translator(network)
    latent = gan.prior.sample(count, sampling_rng(gan, seed))
    a, b = latent.z.cpu().chunk(2, dim=1)
    sources = {direction: {"a_to_b": a, "b_to_a": b}[direction] for direction in directions}
    results = {direction: translate(network, direction, images) for direction, images in sources.items()}
    name = f"{name}_{'-'.join(directions)}_{count}"

    def write(aside: Path) -> None:
        if format == "npz":
            arrays = {direction[0]: images for direction, images in sources.items()}
            return save_arrays(aside / f"{name}.npz", **arrays, **results)
        rows = torch.cat([side_by_side(sources[direction], results[direction]) for direction in directions])
        save_picture(make_image_grid(rows, columns=min(count, COLUMNS)), aside / f"{name}.png")

    return write_atomically(folder, name, write)


def write_translations(
    network: nn.Module, folder: Path, name: str, source: Path, direction: str, channels: int
) -> list[Path]:
    """Write a folder with the translation of each image in the folder `source`, as PNGs.

    `network` is the generator, `direction` a_to_b or b_to_a. Images have `channels`, 1 or 3, and keep their sizes.
    Raises a FileNotFoundError without images, a ValueError for a `folder` within `source` or an unreadable image.
    """
    assert is_translator(network)
    root = source.expanduser()
    paths = find_images("source", root)
    if folder.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{folder} lies in source={source}, whose images are translated: choose another output")
    name = f"{name}_{direction}_{root.resolve().name}"
    return write_atomically(
        folder,
        name,
        lambda aside: translate_folder(
            lambda images: translate(network, direction, images), root, paths, channels, aside / name
        ),
    )


def name_suffix(
    labels: Sequence[int] | None, truncation: float | None, class_names: Sequence[str] | None = None
) -> str:
    """Return what a file's name says of classes, as many as there is room for, and of truncation."""
    classes = ""
    if labels is not None:
        words = [file_name_of(word) for word in class_words(labels, class_names)]
        fitting = [end for end in range(1, len(words) + 1) if len("-".join(words[:end])) <= MOST_LETTERS]
        classes = f"_classes_{'-'.join(words[: max(fitting, default=1)])}"
        classes += "" if len(words) in fitting else f"-and-{len(words) - max(fitting, default=1)}-more"
    return classes + ("" if truncation is None else f"_truncation{truncation}")
