"""Figures of toys during training: both densities, the discriminator and its optimum, and the game's value."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn

from gan_lightning.callbacks.evaluation import real_data
from gan_lightning.callbacks.periodic import Periodic, as_gan
from gan_lightning.data.base import RealData
from gan_lightning.data.distributions import Distribution
from gan_lightning.data.toys import ToyData
from gan_lightning.diagnostics.probe import in_mode
from gan_lightning.figures.density import density_figure
from gan_lightning.figures.images import (
    MOST_FRAMES,
    AnimationFrames,
    log_animation,
    log_picture,
    save_animation,
    save_picture,
)
from gan_lightning.figures.scene import DAMAGED, Scene, Snapshot
from gan_lightning.figures.theory import Array, Box, bounds, game_value
from gan_lightning.game import Objective, discriminate, has_critic, takes_labels
from gan_lightning.gan import GAN
from gan_lightning.randomness import generator_for
from gan_lightning.regularizers.labels import LabelSmoothing
from gan_lightning.utils.checks import check_int

PICTURE_DPI, ANIMATION_DPI = 120, 70


class DensityPlot(Periodic):
    """Draws ``density.png`` (the end of training) and ``evolution.gif`` (all of it) in the run directory.

    Logs ``val/game_value``, V(D, G) estimated from samples, ``val/optimal_value``, C(G) = 2 JSD - log 4 with a kernel
    estimate of the generated density, ``val/discriminator_error``, the mean of |D - D*| over (p + q) / 2, and
    ``val/distance_from_half``, that of |D - 1/2|. At -log 4 = -1.386 and with an error of 0 the game is over, and D is
    1/2 wherever there are samples. All are of the game as it is played: of the generator
    that is trained, not of its average, and of networks in training mode, by batches as large as a device's. With
    `regularizer=label_smoothing` they are of the smoothed game, see `figures.theory`; other regularizers are no part of
    the value. Below the densities the figure shows the first three as curves.
    Training waits for these numbers, not for the pictures: they are drawn after it. Checkpoints carry the frames,
    together at most a megabyte, so that a resumed run draws all of its training.

    A discriminator of packs of samples, or a class-conditional one, does not score a single point: it is left out of
    the pictures then, and there is neither V(D, G) nor an error.

    A critic's scores, as in a Wasserstein or least-squares game, are no log-odds of being real (`Objective.critic`).
    They are drawn as they are, and there is no D*, V(D, G) or error.

    Args:
        every: iterations between two frames.
        count: samples of the data and of the generator that the estimates are made from, at least 2.

    Attributes:
        paths: what was written.
    """

    def __init__(self, every: int, count: int = 5000) -> None:
        super().__init__(every, at_start=True)
        self.count = check_int("callbacks.density.count", count, 2)
        self.paths: list[Path] = []
        self.box: Box | None = None
        self._saved: list[Any] = []  # frames of a checkpoint

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        gan = as_gan(pl_module)
        self.reel: AnimationFrames[Snapshot] = AnimationFrames(gan.max_iterations / MOST_FRAMES)
        if trainer.is_global_zero:
            data = real_data(trainer)
            distribution = known_distribution(data)
            self.batch_size = max(1, data.batch_size // trainer.world_size // gan.micro_batches)
            # Without the run's seed, so that the estimates of several runs are made against the same data.
            self.real = distribution.sample(self.count, generator_for("density")).to(gan.device)
            # A resumed run keeps the part of space that it began with, and so the same estimates.
            fresh = self.box is None
            self.box = bounds(array(self.real), array(self.fakes(gan))) if fresh else checked_box(self.box, self.real)
            objectives = gan.objectives.values()
            self.scene = Scene(
                array(self.real), self.box, distribution.log_density, has_critic(objectives), smoothing(objectives)
            )
            self.points = self.scene.points.centres().to(gan.device)
            for frame in map(self.scene.restored, self._saved):
                self.reel.add(frame.iteration, frame)
        super().on_train_start(trainer, gan)

    @torch.no_grad()
    def fakes(self, gan: GAN) -> Tensor:
        """Return points of the generator as training makes them, (count, dim), from the same latents each time."""
        latents = gan.fixed_latents(self.count, "density")
        with in_mode(gan, training=True):
            return torch.cat([gan.generator(latents[rows]).float() for rows in self.batches()])

    @torch.no_grad()
    def logits(self, gan: GAN, points: Tensor) -> Tensor:
        """Return the discriminator's logits, (count,), of `points` (count, dim) as training makes them."""
        with in_mode(gan, training=True):
            parts = [discriminate(gan.discriminator, points[rows]).logits.float() for rows in self.batches()]
        return torch.cat(parts)

    def batches(self) -> list[slice]:
        """Return slices of `count` samples, none smaller than a device's batch where there are as many samples."""
        parts = max(1, self.count // self.batch_size)
        ends = [self.count * part // parts for part in range(parts + 1)]
        return [slice(*pair) for pair in pairwise(ends)]

    def run(self, trainer: Trainer, gan: GAN) -> None:
        if not trainer.is_global_zero:
            return
        fakes = self.fakes(gan)
        samples = array(fakes)
        alone = scores_single_samples(gan.discriminator)
        scores = array(gan.score(self.points)) if alone else None
        value = error = None
        if alone and not has_critic(gan.objectives.values()):
            real_logits, fake_logits = self.logits(gan, self.real), self.logits(gan, fakes)
            value = game_value(real_logits, fake_logits, self.scene.smoothing)
            probabilities = array(real_logits.sigmoid()), array(fake_logits.sigmoid())
            error = self.scene.discriminator_error(samples, *probabilities)
        frame = Snapshot(gan.iterations, samples, scores, value, self.scene.optimal_value(samples), error)
        self.newest = frame
        self.reel.add(gan.iterations, frame.compact())
        values = {"val/optimal_value": frame.optimal_value}
        if value is not None and error is not None:
            values |= {"val/game_value": value, "val/discriminator_error": error}
            both = torch.cat([real_logits, fake_logits]).sigmoid()
            values["val/distance_from_half"] = (both - 0.5).abs().mean().item()
        for logger in trainer.loggers:
            logger.log_metrics(values, step=gan.iterations)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        frames = self.reel.frames
        if not frames:
            return
        picture = density_figure(self.scene, frames, PICTURE_DPI).draw(self.newest)
        log_picture(trainer.loggers, "density", picture, frames[-1].iteration)
        directory = Path(trainer.default_root_dir)
        still, moving = directory / "density.png", directory / "evolution.gif"
        with self.dispensable(still):
            save_picture(picture, still)
            self.paths = [still]
        animation = density_figure(self.scene, frames, ANIMATION_DPI)
        with self.dispensable(moving):
            save_animation((animation.draw(frame) for frame in frames), len(frames), moving)
            self.paths = [*self.paths, moving]
            log_animation(trainer.loggers, moving, frames[-1].iteration)

    def state_dict(self) -> dict[str, Any]:
        return {"box": self.box, "frames": [frame.state() for frame in self.reel.frames]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.box, self._saved = state_dict["box"], list(state_dict["frames"])


def checked_box(box: Any, real: Tensor) -> Box:
    """Return the `box` of a checkpoint if it is a part of the space of `real`; a ValueError if it is damaged."""
    try:
        low, high = (tuple(float(corner[axis]) for axis in range(real.shape[1])) for corner in box)
        if all(-math.inf < a < b < math.inf for a, b in zip(low, high, strict=True)):
            return low, high
    except (TypeError, ValueError, LookupError):
        pass
    raise ValueError(f"{DAMAGED}: {box!r:.60} is no part of space")


def known_distribution(data: RealData) -> Distribution:
    """Return the distribution of the data; a ValueError if it is not known."""
    if not isinstance(data, ToyData):
        raise ValueError(
            f"densities are drawn of data whose true density is known, not of {type(data).__name__}: "
            "choose callbacks=images"
        )
    return data.distribution


def smoothing(objectives: Iterable[Objective]) -> float:
    """Return by how much the labels of data are smoothed."""
    return sum(part.smoothing for part in objectives if isinstance(part, LabelSmoothing))


def scores_single_samples(discriminator: nn.Module) -> bool:
    """Return whether it scores single samples: it is not class-conditional, and no part of it packs samples."""
    packs = any(getattr(part, "pack", 1) > 1 for part in discriminator.modules())
    return not (packs or takes_labels(discriminator))


def array(values: Tensor) -> Array:
    """Return `values` as a float32 array."""
    converted: Array = values.detach().float().cpu().numpy()
    return converted
