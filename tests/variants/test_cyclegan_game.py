"""CycleGAN as a whole: in pieces, stopped and gone on with, and from two folders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.compose import SMALL, composed, job_part
from helpers.jobs import train
from helpers.tiny_gan import quiet_trainer, weights
from hydra.utils import instantiate
from lightning import Trainer
from PIL import Image
from torch import Tensor
from torch.optim import SGD

from gan_lightning.data.image_data import Images
from gan_lightning.data.unpaired import Domains, UnpairedImages
from gan_lightning.ema import Averaging
from gan_lightning.gan import GAN
from gan_lightning.models.cyclegan import CycleGANGenerators, PatchGANPair
from gan_lightning.randomness import generator_for
from gan_lightning.variants.cyclegan import CycleConsistency, IdentityMapping, PatchLeastSquares, SourceImages

SHAPE = (2, 16, 16)


class Noisy(UnpairedImages):
    """Images of noise: norms of constant ones would divide rounding errors by next to nothing."""

    def __init__(self) -> None:
        super().__init__(shape=SHAPE, num_classes=None, value_range=[-1, 1], batch_size=4, seed=0)

    def read(self) -> Domains:
        a, b = torch.randint(256, (2, 5, 1, *SHAPE[1:]), generator=generator_for(0)).byte()
        return Domains(Images(a, None), Images(b, None))


def game(iterations: int, **settings: Any) -> GAN:
    torch.manual_seed(0)

    def optimizer(weights: Any) -> SGD:
        return SGD(weights, lr=1e-2)

    return GAN(
        CycleGANGenerators(SHAPE, width=2, blocks=1, halvings=1),
        PatchGANPair(SHAPE, width=2, depth=1),
        SourceImages(Noisy()),
        {"adversarial": PatchLeastSquares(SHAPE, 5), "cycle": CycleConsistency(), "identity": IdentityMapping()},
        optimizer,
        optimizer,
        Averaging(20, ramp_up=None),
        iterations,
        **{"share_fakes": True, **settings},
    )


class Pairs:
    """Endless pairs; those of a step are a function of the step."""

    def __init__(self, gan: GAN) -> None:
        self.gan = gan

    def __iter__(self) -> Iterator[tuple[Tensor, None]]:
        step = self.gan.discriminator_updates
        while True:
            yield torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(step)) * 2 - 1, None
            step += 1


def run(gan: GAN, ckpt_path: Path | None = None) -> Trainer:
    trainer = quiet_trainer()
    trainer.fit(gan, Pairs(gan), ckpt_path=ckpt_path)
    return trainer


def test_pieces_of_a_batch_play_the_same_game() -> None:
    whole, pieces = game(4), game(4, micro_batches=3)
    run(whole)
    run(pieces)
    for player in ("generator", "discriminator"):
        torch.testing.assert_close(weights(getattr(pieces, player)), weights(getattr(whole, player)))
    pools = [gan.objectives["adversarial"].get_buffer("bits").view(torch.float32) for gan in (whole, pieces)]
    torch.testing.assert_close(*pools)
    assert pools[0].any()


def test_a_continued_run_has_its_pool(tmp_path: Path) -> None:
    through, first, second = game(6), game(3), game(6)
    run(through)
    run(first).save_checkpoint(tmp_path / "half.ckpt")
    run(second, ckpt_path=tmp_path / "half.ckpt")
    assert through.objectives["adversarial"].held == 5
    for name, value in through.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name


@pytest.mark.parametrize("channels", [1, 3])
def test_two_folders_are_all_it_takes(channels: int, tmp_path: Path) -> None:
    for name, colours in (("a", ["red", "blue"]), ("b", ["green", "white", "black"])):
        (tmp_path / name).mkdir()
        for colour in colours:
            Image.new("RGB", (20, 24), colour).save(tmp_path / name / f"{colour}.png")
    folders = ["data=unpaired_folders", *(f"data.{name}={tmp_path / name}" for name in "ab")]
    small = [
        "data.image_size=16",
        f"data.channels={channels}",
        "model.generator.width=2",
        "model.discriminator.width=2",
    ]
    choices = ["variant=cyclegan", *folders, *small, *SMALL, "metrics.num_fakes=7", "callbacks.samples.count=2"]
    directory = tmp_path / "run"
    with composed(*choices, directory=directory) as config:
        train(job_part(config))
    result = json.loads((directory / "result.json").read_text())
    assert result["status"] == "finished"
    assert result["final"]["val/swd"] > 0
    picture = Image.open(directory / "samples" / "iteration_000002.png")
    assert picture.width > 0
    content = torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)
    assert not any(name.startswith("prior") for name in content["state_dict"])


def test_its_file_makes_the_published_game() -> None:
    with composed("variant=cyclegan") as config:
        gan = instantiate(job_part(config).gan, _convert_="all")
        assert config.hydra.runtime.choices.data == "digit_outlines"
        assert config.hydra.runtime.choices.metrics == "translation"
    parts = gan.objectives
    assert {name: type(part) for name, part in parts.items()} == {
        "adversarial": PatchLeastSquares,
        "cycle": CycleConsistency,
        "identity": IdentityMapping,
    }
    assert (parts["adversarial"].pool_size, parts["cycle"].weight, parts["identity"].weight) == (50, 10, 5)
    assert gan.share_fakes
