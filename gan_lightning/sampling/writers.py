"""What `sample.py` can be asked for, made and written."""

from __future__ import annotations

from pathlib import Path

import torch
from omegaconf import DictConfig

from gan_lightning.figures.images import FRAME_MS, make_image_grid, save_animation, save_picture
from gan_lightning.gan import GAN
from gan_lightning.models.cyclegan import is_translator
from gan_lightning.runs.checkpoints import load_generator
from gan_lightning.sampling.generate import (
    generate_images,
    generate_samples,
    sample_latents,
    sampling_rng,
    truncated_prior,
)
from gan_lightning.sampling.interpolation import closed_path
from gan_lightning.sampling.output import save_arrays, save_files, write_atomically
from gan_lightning.sampling.translation import COLUMNS, DIRECTIONS, Folder, side_by_side, translate
from gan_lightning.utils.errors import UserError


def write_samples(cfg: DictConfig, gan: GAN, folder: Path, name: str, count: int) -> list[Path]:
    """A picture of all samples; or a folder with a PNG of each; or arrays: `samples`, and `labels` if there are any."""
    grid = cfg.format in (None, "grid")
    images, labels, columns = generate_samples(gan, count, cfg.classes, cfg.truncation, cfg.seed or 0, grid)
    name = f"{name}_{len(images)}{name_suffix(cfg)}"
    if grid:
        return write_atomically(
            folder, name, lambda aside: save_picture(make_image_grid(images, columns=columns), aside / f"{name}.png")
        )
    if cfg.format == "files":
        return write_atomically(folder, name, lambda aside: save_files(images, aside / name))
    return write_atomically(folder, name, lambda aside: save_arrays(aside / f"{name}.npz", labels, samples=images))


def write_interpolation(cfg: DictConfig, gan: GAN, folder: Path, name: str, count: int) -> list[Path]:
    """An animation from each of `count` samples to the next and back to the first, and a picture, a row for each way.

    Or arrays: `samples`, (count, steps + 1, ...), and the `labels` of the rows, (count,), where there are any.
    """
    if count < 2:
        raise UserError(f"interpolate={cfg.interpolate} goes from sample to sample: choose count=2 or more")
    steps: int = cfg.interpolate
    prior = truncated_prior(gan, cfg.truncation)
    keys, _ = sample_latents(prior, count, sampling_rng(gan, cfg.seed or 0), cfg.classes)
    rows = generate_images(gan, closed_path(prior, keys, steps)).unflatten(0, (count, steps + 1))
    name = f"{name}_interpolate{steps}_{count}{name_suffix(cfg)}"

    def write(aside: Path) -> None:
        if cfg.format == "npz":
            labels = None if keys.labels is None else keys.labels.cpu()
            return save_arrays(aside / f"{name}.npz", labels, samples=rows)
        frames = rows[:, :-1].flatten(0, 1)  # where a row ends the next begins
        pictures = (make_image_grid(frame[None], least_width_px=250) for frame in frames)
        save_animation(pictures, len(frames), aside / f"{name}.gif", last_frame_ms=FRAME_MS)
        save_picture(make_image_grid(rows.flatten(0, 1), columns=steps + 1), aside / f"{name}.png")

    return write_atomically(folder, name, write)


def write_traversal(cfg: DictConfig, gan: GAN, folder: Path, name: str, count: int) -> list[Path]:
    """A picture with a row for each of InfoGAN's codes, of `count` samples or as many as there are categories."""
    latent, columns, blank = truncated_prior(gan, cfg.truncation).traverse(count, sampling_rng(gan, cfg.seed or 0))
    images = generate_images(gan, latent)
    images[blank.cpu()] = 0  # the grey between the tiles
    name = f"{name}_traverse_{columns}{name_suffix(cfg)}"
    return write_atomically(
        folder, name, lambda aside: save_picture(make_image_grid(images, columns=columns), aside / f"{name}.png")
    )


def write_pairs(cfg: DictConfig, gan: GAN, folder: Path, name: str, count: int) -> list[Path]:
    """A picture of `count` of the run's own images above their translations; or arrays of them, by name.

    The arrays are `a` and `a_to_b`, `b` and `b_to_a`.
    """
    network = gan.averaged_generator
    assert is_translator(network)
    latent = gan.prior.sample(count, sampling_rng(gan, cfg.seed or 0))
    sources = dict(zip(DIRECTIONS, latent.z.cpu().chunk(2, dim=1), strict=True))
    directions = [cfg.direction] if cfg.direction else list(DIRECTIONS)
    results = {direction: translate(network, direction, sources[direction]) for direction in directions}
    name = f"{name}_{'-'.join(directions)}_{count}"

    def write(aside: Path) -> None:
        if cfg.format == "npz":
            arrays = {direction[0]: sources[direction] for direction in directions}
            return save_arrays(aside / f"{name}.npz", **arrays, **results)
        rows = torch.cat([side_by_side(sources[direction], results[direction]) for direction in directions])
        save_picture(make_image_grid(rows, columns=min(count, COLUMNS)), aside / f"{name}.png")

    return write_atomically(folder, name, write)


def write_translations(cfg: DictConfig, checkpoint: Path, device: str, folder: Path) -> list[Path]:
    """A folder with a PNG for each image of the folder `cfg.source`. The run's own data need not be there.

    Raises:
        UserError: the model does not translate; or the images, or where they go, are not what they should be.
    """
    config, network, iterations = load_generator(checkpoint, device, cfg.trust)
    if not is_translator(network):
        raise UserError("source= is for a model that translates images, such as variant=cyclegan's: leave it out")
    if cfg.direction is None:
        raise UserError("say which way to translate: direction=a_to_b, or b_to_a, the domains being data.a and data.b")
    channels, *size = config.data.shape
    source = Folder(Path(cfg.source), (channels // 2, *size))
    if folder.resolve().is_relative_to(source.root.resolve()):
        raise UserError(f"{folder} lies in source={cfg.source}, whose images are translated: choose another output")
    name = f"{checkpoint.stem}_iteration{iterations}_{cfg.direction}_{source.root.resolve().name}"
    return write_atomically(
        folder, name, lambda aside: source.translate(lambda x: translate(network, cfg.direction, x), aside / name)
    )


def name_suffix(cfg: DictConfig) -> str:
    """What a file's name says of classes and truncation."""
    classes = "" if cfg.classes is None else f"_classes{'-'.join(map(str, cfg.classes))}"
    return classes + ("" if cfg.truncation is None else f"_truncation{cfg.truncation}")
