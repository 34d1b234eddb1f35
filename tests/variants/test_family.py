"""What every variant must do, as its own file in conf/variant makes it, with every model that it goes with."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from helpers.compose import CONF, answers, composed, job_part
from helpers.tiny_gan import Learned, quiet_trainer, weights
from hydra.utils import instantiate
from lightning import Callback, Trainer
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from gan_lightning.gan import GAN

MODELS = ("dcgan", "mlp", "resnet")


def brings(variant: str, group: str) -> bool:
    """Whether the variant's file chooses the answer to the question `group` by itself."""
    defaults = OmegaConf.select(OmegaConf.load(CONF / "variant" / f"{variant}.yaml"), "defaults", default=())
    return any(f"override /{group}" in default for default in defaults)


CASES = [
    (variant, model) for variant in answers("variant") for model in (["own"] if brings(variant, "model") else MODELS)
]


@cache
def config_of(variant: str, model: str) -> DictConfig:
    """The configuration of the variant, its networks as narrow as can be."""
    choices = [f"variant={variant}"]
    choices += [] if model == "own" else [f"model={model}"]
    choices += [] if brings(variant, "data") else ["data=mnist10k"]
    with composed(*choices) as config:
        job = job_part(config)
    for player in ("generator", "discriminator"):
        if "width" in job.model[player]:
            job.model[player].width = 4
    return job


def game_of(variant: str, model: str, iterations: int) -> GAN:
    torch.manual_seed(0)
    gan = instantiate(config_of(variant, model).gan, _convert_="all", max_iterations=iterations)
    assert isinstance(gan, GAN)
    return gan


class Batches:
    """Endless noise in the shape of the data, with classes where these have some; the batch of a turn is its own."""

    def __init__(self, gan: GAN, data: DictConfig) -> None:
        self.gan, self.data = gan, data

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        turn = self.gan.discriminator_updates
        while True:
            rng = torch.Generator().manual_seed(turn)
            real = torch.rand(8, *self.data.shape, generator=rng) * 2 - 1
            classes = self.data.num_classes
            yield real, None if classes is None else torch.randint(classes, (8,), generator=rng)
            turn += 1


def play(
    gan: GAN, variant: str, model: str, ckpt_path: Path | None = None, callbacks: list[Callback] | None = None
) -> Trainer:
    trainer = quiet_trainer(callbacks=callbacks)
    trainer.fit(gan, Batches(gan, config_of(variant, model).data), ckpt_path=ckpt_path)
    return trainer


@pytest.mark.parametrize(("variant", "model"), CASES)
def test_both_players_move_and_every_weight_learns(variant: str, model: str) -> None:
    gan, learned = game_of(variant, model, iterations=2), Learned()
    weights_before = {player: weights(getattr(gan, player)) for player in ("generator", "discriminator")}
    trainable = {name for name, weight in gan.named_parameters() if weight.requires_grad}
    play(gan, variant, model, callbacks=[learned])
    assert gan.iterations == 2
    for player, before in weights_before.items():
        assert not torch.equal(weights(getattr(gan, player)), before)
    assert learned.names == trainable
    assert all(loss.isfinite() for loss in gan.losses.values())

    latent, _ = gan.prior.grid(20, torch.Generator())
    assert len(gan.generate(latent)) == len(latent)


@pytest.mark.parametrize("variant", answers("variant"))
def test_a_resumed_game_is_that_of_an_uninterrupted_run(variant: str, tmp_path: Path) -> None:
    model = dict(CASES)[variant]  # the last of them
    through = game_of(variant, model, iterations=2)
    play(through, variant, model)
    first = game_of(variant, model, iterations=1)
    play(first, variant, model).save_checkpoint(tmp_path / "half.ckpt")
    second = game_of(variant, model, iterations=2)
    play(second, variant, model, tmp_path / "half.ckpt")
    assert second.discriminator_updates == through.discriminator_updates
    for name, tensor in through.state_dict().items():
        assert torch.equal(second.state_dict()[name], tensor), name
