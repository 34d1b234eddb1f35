"""The games of a run of many seeds: settings that follow the seed, and what is built from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from hydra.utils import instantiate
from lightning import seed_everything
from omegaconf import DictConfig, OmegaConf

from gan_lightning.data.toys import ToyData
from gan_lightning.game import Latent
from gan_lightning.gan import GAN
from gan_lightning.train_state import TrainState
from gan_lightning.utils.conf import leaves


def settings_of_seeds(config: DictConfig, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield the settings of `data` and `gan` of each seed: all that refers to `seed` follows it."""
    job = config.copy()
    first, second = (resolved(job, seed) for seed in (seeds[0], seeds[0] + 1))
    other = dict(leaves(second))
    following = [key for key, value in leaves(first) if other.get(key) != value]
    for seed in seeds:
        settings = OmegaConf.create(first)
        for key in following:
            OmegaConf.update(settings, key, seed)
        found = OmegaConf.to_container(settings)
        assert isinstance(found, dict)
        yield {"seed": seed, **{str(key): value for key, value in found.items()}}


def resolved(config: DictConfig, seed: int) -> dict[str, Any]:
    """Return the settings of `data` and `gan` with another seed, every interpolation filled in."""
    config.seed = seed
    return {name: OmegaConf.to_container(config[name], resolve=True) for name in ("data", "gan")}


def build_game(settings: Mapping[str, Any]) -> tuple[ToyData, GAN]:
    """Build the data and the GAN of one seed, as `runs.training.build` does.

    Raises:
        ValueError: the data are no vectors of a known distribution, or latents hold more than noise.
    """
    seed_everything(settings["seed"], verbose=False)
    data = instantiate(settings["data"], _convert_="all")
    if not isinstance(data, ToyData):
        raise ValueError("seeds=N is for data=gaussian, data=ring and data=grid: leave seeds out for other data")
    data.prepare_data()
    data.setup("fit")
    gan = instantiate(settings["gan"], _convert_="all")
    if type(gan) is not GAN:
        raise ValueError(f"seeds=N trains a GAN of two players, not a {type(gan).__name__}: leave seeds out")
    latent = gan.prior.sample(2, torch.Generator().manual_seed(0))
    if type(latent) is not Latent or latent.labels is not None:
        raise ValueError("seeds=N is for latents that are noise alone: choose prior=gaussian or prior=uniform")
    gan.state = TrainState()
    return data, gan
