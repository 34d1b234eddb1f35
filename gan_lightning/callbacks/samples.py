"""Pictures of the averaged generator's samples of the same latents, or translations of the same images."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lightning import LightningModule, Trainer
from PIL import Image
from torch import Tensor

from gan_lightning.callbacks.evaluation import Evaluation, real_data
from gan_lightning.callbacks.periodic import Periodic, as_gan
from gan_lightning.figures.images import (
    MOST_FRAMES,
    AnimationFrames,
    Pixels,
    corner_of_grid,
    log_animation,
    log_picture,
    make_image_grid,
    read_picture,
    row_names,
    save_animation,
    save_picture,
)
from gan_lightning.game import Latent
from gan_lightning.gan import GAN
from gan_lightning.models.cyclegan import is_translator
from gan_lightning.randomness import generator_for
from gan_lightning.utils.checks import check_int

ACROSS_IN_MOTION = 4
"""Images in a row and in a column of a grid's animation: few enough to follow, and for a small file."""


class Pictures(Periodic, ABC):
    """Writes ``samples/iteration_<n>.png`` in the run directory, and logs it where images are taken.

    ``samples/best.png`` is the picture at the best evaluation. At the end ``samples/evolution.gif`` shows how the
    pictures came to be, those from before a run was resumed as well; both are logged. It is made from the files.

    Args:
        every: iterations between two pictures.
        count: images in a picture, at least 1.

    Attributes:
        last_path: the newest picture; None before the first, and on all ranks but the first.
    """

    def __init__(self, every: int, count: int) -> None:
        super().__init__(every, at_start=True)
        self.count = check_int("callbacks.samples.count", count)
        self.last_path: Path | None = None

    @abstractmethod
    def draw(self, gan: GAN) -> Pixels:
        """Return the picture."""

    def in_motion(self, gan: GAN) -> Callable[[Pixels], Pixels]:
        """Return a function from a picture to the part of it that the animation shows."""
        return lambda picture: picture

    def run(self, trainer: Trainer, gan: GAN) -> None:
        if not trainer.is_global_zero:
            return
        picture = self.draw(gan)
        path = folder(trainer) / f"iteration_{gan.iterations:06d}.png"
        with self.dispensable(path):
            save_picture(picture, path)
            self.last_path = path
        log_picture(trainer.loggers, "samples", picture, gan.iterations)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the picture of an evaluation that was the best yet."""
        if trainer.is_global_zero and any(part.improved for part in evaluations(trainer)):
            path = folder(trainer) / "best.png"
            with self.dispensable(path):
                save_picture(self.draw(as_gan(pl_module)), path)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        gan = as_gan(pl_module)
        iterations = gan.iterations
        for evaluation in evaluations(trainer):
            if evaluation.best is not None and (best := folder(trainer) / "best.png").is_file():
                caption = f"best {evaluation.monitor} {evaluation.best:.4g} at iteration {evaluation.best_iteration}"
                log_picture(trainer.loggers, "samples_best", np.asarray(Image.open(best)), iterations, caption)
        if pictures := pictures_until(iterations, folder(trainer), self.in_motion(gan)):
            path = folder(trainer) / "evolution.gif"
            with self.dispensable(path):
                save_animation(pictures, len(pictures), path)
                log_animation(trainer.loggers, path, iterations)


class SampleGrid(Pictures):
    """Grids of samples. Beside them stands ``real.png``, as many real images, arranged by class where samples are.

    Args:
        every: iterations between two grids.
        count: images in a grid, at least 1; about so many where the prior arranges them, in a row a class, say.
    """

    def __init__(self, every: int, count: int = 64) -> None:
        super().__init__(every, count)
        self.row_names: list[str] | None = None  # of the classes, a row each

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            gan = as_gan(pl_module)
            latent, columns = self.latent(gan)
            if gan.prior.class_conditional and latent.labels is not None:
                examples = real_data(trainer).examples(len(latent.labels), gan.device, latent.labels)
                names = self.row_names = row_names(latent.labels, columns, real_data(trainer).class_names)
                real = make_image_grid(examples, columns=columns, row_names=names)
            else:
                real = make_image_grid(real_data(trainer).examples(self.count, gan.device))
            path = folder(trainer) / "real.png"
            with self.dispensable(path):
                save_picture(real, path)
            log_picture(trainer.loggers, "real", real, gan.iterations)
        super().on_train_start(trainer, pl_module)

    def latent(self, gan: GAN) -> tuple[Latent, int]:
        """Return the latents of the grid, always the same, and how many stand in a row."""
        return gan.prior.grid(self.count, generator_for(gan.seed, "samples", device=gan.device))

    def draw(self, gan: GAN) -> Pixels:
        latent, columns = self.latent(gan)
        return make_image_grid(gan.generate(latent), columns=columns, row_names=self.row_names)

    def in_motion(self, gan: GAN) -> Callable[[Pixels], Pixels]:
        latent, columns = self.latent(gan)
        return partial(corner_of_grid, shape=gan.generate(latent).shape, columns=columns, across=ACROSS_IN_MOTION)


class Translations(Pictures):
    """Pictures of images that are translated into the other domain and back by the averaged generators.

    The rows are a, G(a), F(G(a)), then b, F(b), G(F(b)). The columns are source images, always the same.

    Args:
        every: iterations between two pictures.
        count: source images of each domain, at least 1.
    """

    def __init__(self, every: int, count: int = 10) -> None:
        super().__init__(every, count)

    def draw(self, gan: GAN) -> Pixels:
        z = gan.prior.sample(self.count, generator_for(gan.seed, "samples", device=gan.device)).z
        return make_image_grid(translate_there_and_back(gan, z), columns=self.count)


@torch.no_grad()
def translate_there_and_back(gan: GAN, z: Tensor) -> Tensor:
    """Return a, G(a), F(G(a)), b, F(b), G(F(b)), (6 * count, channels, ...), of pairs z (count, 2 * channels, ...).

    Raises:
        ValueError: the generator does not translate.
    """
    networks = gan.averaged_generator
    if not is_translator(networks):
        raise ValueError("callbacks=translations shows translations: choose model=cyclegan, or callbacks=images")
    networks.eval()
    with torch.autocast(gan.device.type, enabled=False):
        a, b = z.chunk(2, dim=1)
        fake_a, fake_b = networks.b_to_a(b), networks.a_to_b(a)
        return torch.cat([a, fake_b, networks.b_to_a(fake_b), b, fake_a, networks.a_to_b(fake_a)])


def evaluations(trainer: Trainer) -> list[Evaluation]:
    """Return the callbacks that evaluate."""
    return [part for part in getattr(trainer, "callbacks", []) if isinstance(part, Evaluation)]


def folder(trainer: Trainer) -> Path:
    """Return the folder of the pictures."""
    return Path(trainer.default_root_dir) / "samples"


def pictures_until(last: int, directory: Path, part: Callable[[Pixels], Pixels]) -> list[Pixels]:
    """Return `part` of the pictures of a run up to iteration `last`, thinned out for an animation.

    Those that cannot be read, or are of another size than the newest, are left out.
    """
    found = ((re.fullmatch(r"iteration_(\d{6,9})", path.stem), path) for path in directory.glob("iteration_*.png"))
    paths = {int(name[1]): path for name, path in found if name}
    reel: AnimationFrames[Path] = AnimationFrames(last / MOST_FRAMES)
    for iteration in sorted(paths):
        if iteration <= last:
            reel.add(iteration, paths[iteration])
    pictures, shape = [], None
    for path in reversed(reel.frames):
        picture = read_picture(path)
        if picture is not None and picture.shape == (shape := shape or picture.shape):
            pictures.append(part(picture).copy())
    return pictures[::-1]
