"""`python sample.py`, also installed as `gan-sample`: pictures or arrays of a trained generator's samples."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig

from gan_lightning.checks import whole
from gan_lightning.cli.errors import UserError, mistakes_told
from gan_lightning.cli.paths import checkpoint_of, conf_dir, run_directory

if TYPE_CHECKING:
    from torch import Tensor

BATCH_SIZE = 500


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
    checkpoint = checkpoint_of(cfg.ckpt_path, cfg.which)

    import torch

    from gan_lightning.cli.trained import device_named, load

    trained = load(checkpoint, device_named(cfg.device))
    if cfg.format != "npz" and len(trained.config.data.shape) != 3:
        raise UserError(f"samples of shape {list(trained.config.data.shape)} are not pictures: choose format=npz")
    gan = trained.gan
    gan.seed = cfg.seed
    latent = gan.draw(cfg.count, "samples")
    samples = torch.cat([gan.generate(latent[i : i + BATCH_SIZE]).cpu() for i in range(0, cfg.count, BATCH_SIZE)])
    folder = Path(cfg.output) if cfg.output else run_directory(checkpoint) / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    return WRITERS[cfg.format](samples, folder / f"{checkpoint.stem}_seed{cfg.seed}_{cfg.count}")


def write_grid(samples: Tensor, path: Path) -> list[Path]:
    """One picture of all samples."""
    from PIL import Image

    from gan_lightning.figures.images import tile

    path = path.with_suffix(".png")
    Image.fromarray(tile(samples)).save(path)
    return [path]


def write_files(samples: Tensor, path: Path) -> list[Path]:
    """A folder with a PNG for each sample."""
    from rich.progress import track
    from torchvision.io import write_png

    from gan_lightning.figures.images import to_uint8

    path.mkdir(exist_ok=True)
    digits = len(str(len(samples) - 1))
    for index, pixels in enumerate(track(to_uint8(samples), description="Writing", transient=True)):
        write_png(pixels, str(path / f"{index:0{digits}}.png"))
    return [path]


def write_npz(samples: Tensor, path: Path) -> list[Path]:
    """An array `samples`: uint8 (count, height, width, channels) of images, float32 (count, dim) of other data."""
    import numpy as np

    from gan_lightning.figures.images import to_uint8

    array = to_uint8(samples).permute(0, 2, 3, 1) if samples.ndim == 4 else samples
    path = path.with_suffix(".npz")
    np.savez_compressed(path, samples=array.numpy())
    return [path]


WRITERS: dict[str, Callable[[Tensor, Path], list[Path]]] = {"grid": write_grid, "files": write_files, "npz": write_npz}


def main() -> None:
    """Run the command line."""
    run()


if __name__ == "__main__":
    main()
