from __future__ import annotations

import errno
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny_gan import quiet_trainer
from lightning import Trainer
from lightning.pytorch.loggers import Logger
from PIL import Image, ImageSequence
from torch.optim import Adam

from gan_lightning.callbacks import samples
from gan_lightning.callbacks.samples import SampleGrid
from gan_lightning.data.mnist import Mnist10k
from gan_lightning.ema import Averaging
from gan_lightning.figures.images import MOST_FRAMES, Pixels, make_image_grid
from gan_lightning.gan import GAN
from gan_lightning.losses.adversarial import NonSaturating
from gan_lightning.models.mlp import MLPDiscriminator, MLPGenerator
from gan_lightning.priors import Gaussian

SHAPE = [1, 28, 28]


@pytest.fixture(scope="module")
def digits() -> Mnist10k:
    data = Mnist10k(shape=SHAPE, num_classes=10, value_range=[-1, 1], batch_size=8, seed=0)
    data.setup("fit")
    return data


class Album(Logger):
    """Keeps the pictures that it is given."""

    name = version = "album"

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[tuple[str, int | None, Pixels]] = []

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None: ...

    def log_image(self, key: str, images: list[Pixels], step: int | None = None, **_: Any) -> None:
        self.pictures += [(key, step, image) for image in images]


def small_gan(max_iterations: int = 5) -> GAN:
    torch.manual_seed(0)
    optimizer = partial(Adam, lr=1e-2)
    return GAN(
        MLPGenerator(latent_dim=3, shape=SHAPE, value_range=[-1, 1], width=8, depth=1, batch_norm=True),
        MLPDiscriminator(shape=SHAPE, width=8, depth=1),
        Gaussian(3),
        {"adversarial": NonSaturating()},
        optimizer,
        optimizer,
        Averaging(20, ramp_up=None),
        max_iterations,
    )


def fit(
    gan: GAN, data: Mnist10k, directory: Path, *callbacks: SampleGrid, ckpt_path: Any = None, **settings: Any
) -> Trainer:
    trainer = quiet_trainer(callbacks=list(callbacks), default_root_dir=directory, **settings)
    trainer.fit(gan, data, ckpt_path=ckpt_path)
    return trainer


def pixels(path: Path) -> Pixels:
    return np.asarray(Image.open(path))


def test_it_leaves_grids_real_images_and_an_animation(digits: Mnist10k, tmp_path: Path):
    gan, grids, album = small_gan(), SampleGrid(2, count=9), Album()
    fit(gan, digits, tmp_path, grids, logger=album)
    names = [f"iteration_{iteration:06d}.png" for iteration in (0, 2, 4, 5)]
    assert sorted(file.name for file in (tmp_path / "samples").iterdir()) == ["evolution.gif", *names, "real.png"]
    assert grids.last_path == tmp_path / "samples" / names[-1]
    # What is shown is the averaged generator's, from latents that are always the same.
    assert (pixels(grids.last_path) == make_image_grid(gan.generate(gan.fixed_latents(9, "samples")))).all()
    assert (pixels(tmp_path / "samples" / "real.png") == make_image_grid(digits.examples(9, "cpu"))).all()
    with Image.open(tmp_path / "samples" / "evolution.gif") as animation:
        assert getattr(animation, "n_frames", 1) == 4
    assert [(key, step) for key, step, _ in album.pictures] == [("real", 0), *(("samples", i) for i in (0, 2, 4, 5))]
    assert all(picture.dtype == np.uint8 for _, _, picture in album.pictures)
    assert (album.pictures[-1][2] == pixels(grids.last_path)).all()


def test_training_is_bit_identical_with_and_without_it(digits: Mnist10k, tmp_path: Path):
    watched, alone = small_gan(), small_gan()
    fit(watched, digits, tmp_path / "watched", SampleGrid(1, count=4))
    fit(alone, digits, tmp_path / "alone")
    assert watched.generator.training and watched.discriminator.training
    for name, value in watched.state_dict().items():
        assert torch.equal(value, alone.state_dict()[name]), name


def test_a_resumed_run_continues_its_pictures(digits: Mnist10k, tmp_path: Path):
    fit(small_gan(4), digits, tmp_path, SampleGrid(2, count=4)).save_checkpoint(tmp_path / "last.ckpt")
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "samples").glob("iteration_*.png")}
    fit(small_gan(8), digits, tmp_path, SampleGrid(2, count=4), ckpt_path=tmp_path / "last.ckpt")
    assert all(file.stat().st_mtime_ns == then for file, then in before.items())
    added = {file.stem for file in (tmp_path / "samples").glob("iteration_*.png")} - {file.stem for file in before}
    assert added == {"iteration_000006", "iteration_000008"}
    fit(small_gan(8), digits, tmp_path / "whole", SampleGrid(2, count=4))
    assert moving(tmp_path) == moving(tmp_path / "whole") and len(moving(tmp_path)) == 5


def moving(directory: Path) -> list[bytes]:
    """Return the frames of a run's animation."""
    with Image.open(directory / "samples" / "evolution.gif") as animation:
        return [frame.convert("RGB").tobytes() for frame in ImageSequence.Iterator(animation)]


def test_pictures_of_another_size_damaged_ones_and_those_to_come_are_not_in_the_animation(
    digits: Mnist10k, tmp_path: Path
):
    folder = tmp_path / "samples"
    folder.mkdir()
    (folder / "iteration_000002.png").write_bytes(b"\x89PNG garbage")
    (folder / "iteration_x.png").write_bytes(b"")
    for name in ("iteration_000003.png", "iteration_000009.png"):
        Image.new("RGB", (10, 10)).save(folder / name)
    fit(small_gan(4), digits, tmp_path, SampleGrid(4, count=9))
    assert len(moving(tmp_path)) == 2


def test_a_long_run_has_few_frames(digits: Mnist10k, tmp_path: Path):
    fit(small_gan(110), digits, tmp_path, SampleGrid(1, count=2))
    assert len(list((tmp_path / "samples").glob("iteration_*"))) == 111
    assert MOST_FRAMES - 15 <= len(moving(tmp_path)) <= MOST_FRAMES + 1


def test_only_the_first_rank_writes(digits: Mnist10k, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Trainer, "is_global_zero", property(lambda trainer: False))
    grids = SampleGrid(1, count=4)
    fit(small_gan(2), digits, tmp_path, grids)
    assert grids.last_path is None
    assert not list(tmp_path.rglob("*.*"))


def test_a_grid_of_nothing_is_refused():
    with pytest.raises(ValueError, match="callbacks.samples.count"):
        SampleGrid(1, count=0)


def test_pictures_that_do_not_fit_are_said_once_and_training_ends_well(
    digits: Mnist10k, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def full(picture: Pixels, path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(samples, "save_picture", full)
    gan, grids = small_gan(4), SampleGrid(1, count=4)
    fit(gan, digits, tmp_path, grids)
    assert gan.iterations == 4 and grids.last_path is None
    assert [record.getMessage().split(" (")[1] for record in caplog.records if record.levelname == "ERROR"] == [
        "No space left on device): pictures are missing"
    ]
