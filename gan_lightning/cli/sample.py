"""`python sample.py`, also installed as `gan-sample`: pictures or arrays of a trained generator's samples."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import hydra
from omegaconf import DictConfig

from gan_lightning.checks import positive, whole, wholes
from gan_lightning.cli.errors import UserError, mistakes_told
from gan_lightning.cli.paths import checkpoint_of, conf_dir, run_directory

if TYPE_CHECKING:
    from torch import Tensor

    from gan_lightning.gan import GAN

BATCH_SIZE = 500


class Samples(NamedTuple):
    """What was generated: `images`, or other samples, (count, ...); `labels` of them; `columns` of a picture."""

    images: Tensor
    labels: Tensor | None
    columns: int | None


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="sample")
def run(cfg: DictConfig) -> None:
    """Write the samples that the command line asks for, and say where."""
    try:
        for path in sample(cfg):
            print(os.path.relpath(path))
    except UserError as error:
        sys.stderr.write(error.report() + "\n")
        sys.exit(error.exit_code)


def sample(cfg: DictConfig) -> list[Path]:
    """Write the samples that `cfg` asks for; returns the paths written, a folder for many files.

    Raises:
        UserError: for whatever cannot be done, before anything is written.
    """
    if cfg.format not in WRITERS:
        raise UserError(f"format must be one of {', '.join(WRITERS)}, not {cfg.format}")
    with mistakes_told():
        whole("count", cfg.count)
        whole("seed", cfg.seed, minimum=0)
        classes = None if cfg.classes is None else wholes("classes", cfg.classes)
        if cfg.truncation is not None:
            positive("truncation", cfg.truncation)
    checkpoint = checkpoint_of(cfg.ckpt_path, cfg.which)

    from gan_lightning.cli.trained import device_named, load

    trained = load(checkpoint, device_named(cfg.device))
    if cfg.format != "npz" and (len(trained.config.data.shape) != 3 or trained.config.data.shape[0] not in (1, 3)):
        raise UserError(f"samples of shape {list(trained.config.data.shape)} are not pictures: choose format=npz")
    trained.gan.seed = cfg.seed
    with mistakes_told():
        samples = generated(trained.gan, cfg.count, classes, cfg.truncation, rows=cfg.format == "grid")
    folder = Path(cfg.output) if cfg.output else run_directory(checkpoint) / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    asked = "" if classes is None else f"_classes{'-'.join(map(str, classes))}"
    asked += "" if cfg.truncation is None else f"_truncation{cfg.truncation}"
    name = f"{checkpoint.stem}_seed{cfg.seed}_{len(samples.images)}{asked}"
    return WRITERS[cfg.format](samples, folder, name)


def generated(
    gan: GAN, count: int, classes: Sequence[int] | None = None, truncation: float | None = None, rows: bool = False
) -> Samples:
    """Samples of the averaged generator, on the CPU, from the seed of `gan`.

    Args:
        gan: the game; `truncation` changes its prior.
        count: how many; about so many with `rows`.
        classes: as many of each of these, in order; None leaves the classes to the prior.
        truncation: the largest absolute value of Gaussian noise; None leaves it.
        rows: as they are to stand in a picture, see `latents`.

    Raises:
        ValueError: its prior cannot do what is asked.
    """
    import torch

    from gan_lightning.cli.latents import latents, truncate
    from gan_lightning.randomness import generator_for

    if truncation is not None:
        truncate(gan, truncation)
    rng = generator_for(gan.seed, "samples", device=gan.device)
    latent, columns = latents(gan.prior, count, rng, classes, rows)
    images = [gan.generate(latent[first : first + BATCH_SIZE]).cpu() for first in range(0, len(latent), BATCH_SIZE)]
    labels = None if latent.labels is None else latent.labels.cpu()
    return Samples(torch.cat(images), labels, columns)


def write_grid(samples: Samples, folder: Path, name: str) -> list[Path]:
    """One picture of all samples."""
    from PIL import Image

    from gan_lightning.figures.images import tile

    path = folder / f"{name}.png"
    Image.fromarray(tile(samples.images, columns=samples.columns)).save(path)
    return [path]


def write_files(samples: Samples, folder: Path, name: str) -> list[Path]:
    """A folder with a PNG for each sample."""
    from rich.progress import track
    from torchvision.io import write_png

    from gan_lightning.figures.images import to_uint8

    path = folder / name
    path.mkdir(exist_ok=True)
    digits = len(str(len(samples.images) - 1))
    for index, pixels in enumerate(track(to_uint8(samples.images), description="Writing", transient=True)):
        write_png(pixels, str(path / f"{index:0{digits}}.png"))
    return [path]


def write_npz(samples: Samples, folder: Path, name: str) -> list[Path]:
    """Arrays: `samples`, and the `labels` they were made for, int64 (count,), where the model is told classes.

    Samples are uint8 (count, height, width, channels) of images, float32 (count, dim) of other data.
    """
    import numpy as np

    from gan_lightning.figures.images import to_uint8

    images, labels, _ = samples
    array = (to_uint8(images).permute(0, 2, 3, 1) if images.ndim == 4 else images).numpy()
    path = folder / f"{name}.npz"
    if labels is None:
        np.savez_compressed(path, samples=array)
    else:
        np.savez_compressed(path, samples=array, labels=labels.numpy())
    return [path]


Writer = Callable[[Samples, Path, str], list[Path]]
WRITERS: dict[str, Writer] = {"grid": write_grid, "files": write_files, "npz": write_npz}


def main() -> None:
    """Run the command line."""
    run()


if __name__ == "__main__":
    main()
