"""What every wrapper must do, as its own file in conf/wrapper makes it, around discriminators of images."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from helpers.compose import answers, composed, job_part
from helpers.tiny_gan import Learned, quiet_trainer, weights
from hydra.utils import instantiate
from lightning import Callback, Trainer
from omegaconf import DictConfig
from torch import Tensor

from gan_lightning.gan import GAN
from gan_lightning.wrappers.base import Wrapper

NAMES = answers("wrapper")
CHOICES = list(dict.fromkeys([*((name,) for name in NAMES), tuple(NAMES)]))
"""Each by itself, and all of them around each other."""


@cache
def config_of(names: tuple[str, ...], *overrides: str) -> DictConfig:
    tiny = ("model.generator.width=4", "model.discriminator.width=4")
    with composed(f"wrapper=[{','.join(names)}]", *tiny, *overrides) as config:
        return job_part(config)


def game_of(names: tuple[str, ...], iterations: int = 2, *overrides: str) -> GAN:
    torch.manual_seed(0)
    gan = instantiate(config_of(names, *overrides).gan, _convert_="all", max_iterations=iterations)
    assert isinstance(gan, GAN)
    return gan


class Batches:
    """Endless noise as images, with classes; the batch of a turn is its own."""

    def __init__(self, gan: GAN) -> None:
        self.gan = gan

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        turn = self.gan.discriminator_updates
        while True:
            rng = torch.Generator().manual_seed(turn)
            yield torch.rand(8, 1, 28, 28, generator=rng) * 2 - 1, torch.randint(10, (8,), generator=rng)
            turn += 1


def play(gan: GAN, ckpt_path: Path | None = None, callbacks: list[Callback] | None = None) -> Trainer:
    trainer = quiet_trainer(callbacks=callbacks)
    trainer.fit(gan, Batches(gan), ckpt_path=ckpt_path)
    return trainer


@pytest.mark.parametrize("name", NAMES)
def test_a_file_adds_one_wrapper_by_its_name(name: str) -> None:
    assert list(config_of((name,)).wrappers) == [name]
    assert isinstance(game_of((name,)).discriminator, Wrapper)


@pytest.mark.parametrize("names", CHOICES)
def test_both_players_move_and_every_weight_learns(names: tuple[str, ...]) -> None:
    gan, learned = game_of(names), Learned()
    before = {player: weights(getattr(gan, player)) for player in ("generator", "discriminator")}
    trainable = {name for name, weight in gan.named_parameters() if weight.requires_grad}
    play(gan, callbacks=[learned])
    assert gan.iterations == 2
    for player, weights_before in before.items():
        assert not torch.equal(weights(getattr(gan, player)), weights_before)
    assert learned.names == trainable
    assert all(loss.isfinite() for loss in gan.losses.values())


@pytest.mark.parametrize("names", CHOICES)
def test_stopping_and_going_on_is_the_same_as_going_through(names: tuple[str, ...], tmp_path: Path) -> None:
    through = game_of(names)
    play(through)
    play(game_of(names, 1)).save_checkpoint(tmp_path / "half.ckpt")
    second = game_of(names)
    play(second, tmp_path / "half.ckpt")
    assert second.discriminator_updates == through.discriminator_updates
    for name, tensor in through.state_dict().items():
        assert torch.equal(second.state_dict()[name], tensor), name


@pytest.mark.parametrize("name", NAMES)
def test_penalties_on_slopes_play_too(name: str) -> None:
    gan = game_of((name,), 1, "regularizer=[r1,gradient_penalty]", "loss.discriminator_norm=none")
    play(gan)
    assert gan.losses["discriminator/r1"] > 0
    assert gan.losses["discriminator/gradient_penalty"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_variant_that_tells_classes_goes_within(name: str) -> None:
    gan = game_of((name,), 1, "variant=cgan")
    assert list(config_of((name,), "variant=cgan").wrappers) == ["cgan", name]
    play(gan)
