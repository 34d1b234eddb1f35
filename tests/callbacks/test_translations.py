"""The picture of translations: what stands in which row, and that looking changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny_gan import quiet_trainer, tiny_gan
from lightning import Trainer
from PIL import Image
from torch import Tensor, nn
from torch.optim import SGD

from gan_lightning.callbacks.samples import Translations, translate_there_and_back
from gan_lightning.data.image_data import Images
from gan_lightning.data.unpaired import Domains, UnpairedImages
from gan_lightning.ema import Averaging
from gan_lightning.figures.images import make_image_grid
from gan_lightning.gan import GAN
from gan_lightning.models.cyclegan import CycleGANGenerators, PatchGANPair
from gan_lightning.randomness import generator_for
from gan_lightning.variants.cyclegan import CycleConsistency, PatchLeastSquares, SourceImages


class Noisy(UnpairedImages):
    """Colour images of noise: dark ones in A, bright ones in B."""

    def __init__(self) -> None:
        super().__init__(shape=[6, 16, 16], num_classes=None, value_range=[-1, 1], batch_size=2, seed=0)

    def read(self) -> Domains:
        a, b = torch.randint(128, (2, 5, 3, 16, 16), generator=generator_for(0))
        return Domains(Images(a.byte(), None), Images((b + 128).byte(), None))


def small_gan(max_iterations: int = 3) -> GAN:
    torch.manual_seed(0)

    def optimizer(weights: Any) -> SGD:
        return SGD(weights, lr=1e-2)

    return GAN(
        CycleGANGenerators((6, 16, 16), width=2, blocks=1, halvings=1),
        PatchGANPair((6, 16, 16), width=2, depth=1),
        SourceImages(Noisy()),
        {"adversarial": PatchLeastSquares((6, 16, 16), 4), "cycle": CycleConsistency()},
        optimizer,
        optimizer,
        Averaging(20, ramp_up=None),
        max_iterations,
    )


def fit(gan: GAN, directory: Path, *callbacks: Translations) -> Trainer:
    trainer = quiet_trainer(callbacks=list(callbacks), default_root_dir=directory)
    trainer.fit(gan, Noisy())
    return trainer


def test_rows_are_sources_translations_and_the_way_back(tmp_path: Path) -> None:
    gan, pictures = small_gan(), Translations(2, count=3)
    fit(gan, tmp_path, pictures)
    names = [f"iteration_{iteration:06d}.png" for iteration in (0, 2, 3)]
    assert sorted(file.name for file in (tmp_path / "samples").iterdir()) == ["evolution.gif", *names]
    assert pictures.last_path == tmp_path / "samples" / names[-1]
    with Image.open(tmp_path / "samples" / "evolution.gif") as animation:
        assert getattr(animation, "n_frames", 1) == 3

    assert isinstance(gan.averaged_generator, CycleGANGenerators)
    a, b = gan.prior.sample(3, generator_for(gan.seed, "samples")).z.chunk(2, dim=1)
    assert a.max() < 0 < b.min() + 0.1
    g, f = gan.averaged_generator.a_to_b, gan.averaged_generator.b_to_a

    with torch.no_grad():
        rows = torch.cat([a, g(a), f(g(a)), b, f(b), g(f(b))])
    assert (np.asarray(Image.open(pictures.last_path)) == make_image_grid(rows, columns=3)).all()


def test_training_is_bit_identical_with_and_without_it(tmp_path: Path) -> None:
    watched, alone = small_gan(), small_gan()
    fit(watched, tmp_path / "watched", Translations(1, count=2))
    fit(alone, tmp_path / "alone")
    assert watched.generator.training and watched.discriminator.training
    for name, value in watched.state_dict().items():
        assert torch.equal(value, alone.state_dict()[name]), name


def test_only_the_first_rank_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "is_global_zero", property(lambda trainer: False))
    pictures = Translations(1, count=2)
    fit(small_gan(1), tmp_path, pictures)
    assert pictures.last_path is None
    assert not list(tmp_path.rglob("*.*"))


def test_what_cannot_be_shown_is_refused() -> None:
    with pytest.raises(ValueError, match=r"callbacks\.samples\.count must be a whole number of at least 1"):
        Translations(1, count=0)
    with pytest.raises(ValueError, match="choose model=cyclegan, or callbacks=images"):
        translate_there_and_back(tiny_gan(), torch.zeros(1, 6, 16, 16))


def test_a_generator_of_the_users_own_that_translates_is_shown_too() -> None:
    class Shifts(nn.Module):
        translates = True

        def a_to_b(self, a: Tensor) -> Tensor:
            return a + 1

        def b_to_a(self, b: Tensor) -> Tensor:
            return b - 2

    gan = tiny_gan()
    gan.averaged_generator = Shifts()
    rows = translate_there_and_back(gan, torch.tensor([[[[10.0]], [[20.0]]]])).flatten()
    assert rows.tolist() == [10, 11, 9, 20, 18, 19]
