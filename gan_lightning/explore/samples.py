"""What the explorer shows: samples of a checkpoint by a few choices, ways between them, nearest training images."""

from __future__ import annotations

from collections.abc import Collection
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from gan_lightning.data.image_data import ImageData
from gan_lightning.data.pixels import normalize, quantise
from gan_lightning.game import Latent
from gan_lightning.gan import GAN
from gan_lightning.models.cyclegan import is_translator
from gan_lightning.priors import ClassConditional, Gaussian, Prior
from gan_lightning.runs.checkpoints import LoadedRun, load
from gan_lightning.runs.run_dir import checkpoint_of, run_directory
from gan_lightning.sampling.generate import sample_latents, sampling_rng, truncated_prior
from gan_lightning.utils.class_names import class_words
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.instantiation import user_errors
from gan_lightning.variants.infogan import InfoGANPrior

ROWS = 2048
"""Training images that a sample is compared with at a time."""


@dataclass(frozen=True)
class Choice:
    """How samples are made.

    Attributes:
        seed: of the latents.
        count: how many samples.
        truncation: the largest absolute value of Gaussian noise; None leaves it.
        label: the class, cluster or category of all samples; None leaves it to the prior.
        codes: the continuous codes of all samples; None leaves them to the prior.
        averaged: the averaged generator's samples, else those of the generator as it was trained.
    """

    seed: int = 0
    count: int = 16
    truncation: float | None = None
    label: int | None = None
    codes: tuple[float, ...] | None = None
    averaged: bool = True


@dataclass(frozen=True)
class Pin:
    """A sample to come back to: number `index` of those that `choice` makes."""

    choice: Choice
    index: int


def load_checkpoints(path: str, device: str = "cpu", trust: Collection[str] = ()) -> list[LoadedRun]:
    """Return the checkpoints of a run directory by the iterations they were trained for, or the one of a file.

    Raises:
        UserError: there is none, one cannot be loaded, or the samples are not pictures made of noise.
    """
    chosen = checkpoint_of(path)
    files = sorted(chosen.parent.glob("*.ckpt")) if Path(path).expanduser().is_dir() or path == "last" else [chosen]
    found = [load(file, device, trust) for file in files]
    config, gan, _ = found[0]
    if is_translator(gan.averaged_generator):
        raise UserError(f"{path} is a model that translates images, with no latents to explore: use sample.py source=")
    shape = list(config.data.shape)
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise UserError(f"{path} makes samples of shape {shape}, which are no pictures: use sample.py format=npz")
    return sorted(found, key=lambda checkpoint: (checkpoint.gan.iterations, checkpoint.file.stem))


def run_name(path: str) -> str:
    """Return a short name of the run that `path` is, or is a checkpoint of."""
    return run_directory(checkpoint_of(path)).resolve().name


def label_kind(checkpoint: LoadedRun) -> str | None:
    """Return what labels of latents are: class, cluster or category; None where there are none to choose."""
    if isinstance(checkpoint.gan.prior, InfoGANPrior):
        return "category"
    if not isinstance(checkpoint.gan.prior, ClassConditional):
        return None
    return "class" if checkpoint.config.data.get("clusters") is None else "cluster"


def label_words(checkpoint: LoadedRun) -> dict[str, int]:
    """Return the labels that can be chosen, by their names, or numbers where they have no names."""
    prior, names = checkpoint.gan.prior, None
    if isinstance(prior, InfoGANPrior):
        labels = list(range(prior.categories))
    elif isinstance(prior, ClassConditional):
        labels = prior.available_classes
        names = checkpoint.config.data.get("class_names") if label_kind(checkpoint) == "class" else None
    else:
        labels = []
    return dict(zip(class_words(labels, names), labels, strict=True))


def code_count(gan: GAN) -> int:
    """Return how many continuous codes the latents have."""
    return gan.prior.continuous if isinstance(gan.prior, InfoGANPrior) else 0


def can_truncate(gan: GAN) -> bool:
    """Return whether the generator is fed Gaussian noise."""
    return any(isinstance(part, Gaussian) for part in gan.prior.modules())


def latents(gan: GAN, choice: Choice) -> Latent:
    """Return the latents of `choice`: those of `GAN.sample`, with the category and the codes that are chosen.

    Raises:
        ValueError: the prior does not have such a class, or no Gaussian noise to truncate.
    """
    prior = truncated_prior(gan, choice.truncation)
    rng = sampling_rng(gan, choice.seed)
    if not isinstance(prior, InfoGANPrior):
        return sample_latents(prior, choice.count, rng, None if choice.label is None else [choice.label])[0]
    drawn = prior.sample(choice.count, rng)
    assert drawn.labels is not None
    labels = drawn.labels if choice.label is None else torch.full_like(drawn.labels, choice.label)
    codes = drawn.codes if choice.codes is None else torch.tensor(choice.codes).to(drawn.codes).expand_as(drawn.codes)
    return prior.from_codes(drawn.z[:, : prior.source.dim], labels, codes)


@torch.no_grad()
def generate(gan: GAN, latent: Latent, averaged: bool = True) -> Tensor:
    """Return samples (count, channels, height, width) on the CPU, of the averaged generator or of the raw one."""
    return (gan.generate(latent) if averaged else gan.generator.eval()(latent).float()).cpu()


def samples(gan: GAN, choice: Choice) -> Tensor:
    """Return the samples of `choice`, see `generate`."""
    return generate(gan, latents(gan, choice), choice.averaged)


def interpolation(gan: GAN, first: Pin, last: Pin, steps: int, straight: bool = False) -> Tensor:
    """Return samples on the way from one to another, (steps + 1, channels, height, width), both ends included.

    The class is that of `first` throughout, for there is nothing between two classes.

    Args:
        gan: whose samples they are.
        first: where the way begins.
        last: where it ends.
        steps: how many.
        straight: move the noise on a line; else as the prior does it, Gaussian noise on great circles.
    """
    start, end = (latents(gan, pin.choice)[pin.index : pin.index + 1] for pin in (first, last))
    rows = torch.zeros(steps + 1, dtype=torch.int64, device=start.z.device)
    share = torch.linspace(0, 1, steps + 1, device=start.z.device)[:, None]
    prior = truncated_prior(gan, first.choice.truncation)
    prior = straightened(prior) if straight else prior
    return generate(gan, prior.interpolate(start[rows], end[rows], share), first.choice.averaged)


class Straight(Gaussian):
    """Gaussian noise whose interpolation is a line."""

    def interpolate(self, start: Latent, end: Latent, share: Tensor) -> Latent:
        return Prior.interpolate(self, start, end, share)


def straightened(prior: Prior) -> Prior:
    """Return this prior with interpolation on a line; `prior` stays as it is."""
    if isinstance(prior, Gaussian):
        return Straight(prior.dim)
    new = deepcopy(prior)
    for holder in list(new.modules()):
        for name, part in holder.named_children():
            if isinstance(part, Gaussian):
                holder.add_module(name, Straight(part.dim))
    return new


def training_images(config: DictConfig) -> Tensor:
    """Return the training images of a run, uint8 (count, channels, height, width).

    Raises:
        UserError: they are not there, or are read from the disk image by image.
    """
    with user_errors():
        data: Any = instantiate(config.data, _convert_="all")
        if not isinstance(data, ImageData):
            raise UserError(f"nearest images need data in memory, and {type(data).__name__} reads them from the disk")
        return data.split(train=True, device="cpu").pixels


def nearest_images(sample: Tensor, images: Tensor, count: int = 6) -> tuple[Tensor, Tensor]:
    """Return the training images nearest to a sample, and their distances as in metrics=memorization.

    Args:
        sample: (channels, height, width) in [-1, 1].
        images: uint8 (many, channels, height, width).
        count: how many, at most all.

    Returns:
        (count, channels, height, width) in [-1, 1] and the Euclidean distances (count,) of 8-bit pixels in [-1, 1],
        the nearest first.
    """
    vector = quantise(sample[None]).div(127.5).sub(1).flatten(1)
    distances = torch.cat([(normalize(part).flatten(1) - vector).norm(dim=1) for part in images.split(ROWS)])
    nearest = distances.topk(min(count, len(images)), largest=False)
    return normalize(images[nearest.indices]), nearest.values
