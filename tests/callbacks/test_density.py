from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny_gan import quiet_trainer
from lightning import Callback, Trainer
from lightning.pytorch.loggers import Logger
from PIL import Image
from torch import nn
from torch.optim import Adam

from gan_lightning.callbacks.checkpoint import Checkpoint
from gan_lightning.callbacks.density import DensityPlot, array, known_distribution, scores_single_samples
from gan_lightning.data import toys
from gan_lightning.data.mnist import Mnist10k
from gan_lightning.data.toys import ToyData
from gan_lightning.ema import Averaging
from gan_lightning.figures.images import MOST_FRAMES, Pixels
from gan_lightning.figures.theory import bounds, least_value
from gan_lightning.gan import GAN
from gan_lightning.losses.adversarial import NonSaturating, Wasserstein
from gan_lightning.models.mlp import MLPDiscriminator, MLPGenerator
from gan_lightning.priors import Gaussian
from gan_lightning.regularizers.labels import LabelSmoothing
from gan_lightning.variants.pacgan import PackedDiscriminator
from gan_lightning.wrappers.base import Wrapper


class Notebook(Logger):
    """Keeps what is logged."""

    name = version = "notebook"

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[int | None, dict[str, float]] = {}
        self.pictures: list[tuple[str, int | None, Pixels]] = []

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.lines[step] = dict(metrics)

    def log_image(self, key: str, images: list[Pixels], step: int | None = None, **_: Any) -> None:
        self.pictures += [(key, step, image) for image in images]


def data(axes: int = 1) -> ToyData:
    facts: dict[str, Any] = {"shape": [axes], "batch_size": 8 if axes == 1 else 60, "seed": 0}
    return toys.gaussian(3.0, 0.5, **facts) if axes == 1 else toys.ring(8, 1.0, 0.01, **facts)


def small_gan(axes: int = 1, max_iterations: int = 5, discriminator: nn.Module | None = None) -> GAN:
    torch.manual_seed(0)
    optimizer = partial(Adam, lr=1e-2)
    return GAN(
        MLPGenerator(latent_dim=2, shape=[axes], value_range=None, width=8, depth=1, batch_norm=True),
        discriminator or MLPDiscriminator(shape=[axes], width=8, depth=1),
        Gaussian(2),
        {"adversarial": NonSaturating()},
        optimizer,
        optimizer,
        Averaging(20, ramp_up=None),
        max_iterations,
    )


def fit(gan: GAN, axes: int, directory: Path, *callbacks: Callback, **settings: Any) -> Trainer:
    trainer = quiet_trainer(callbacks=list(callbacks), default_root_dir=directory, **settings)
    trainer.fit(gan, data(axes))
    return trainer


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the pictures, which take most of the time."""
    monkeypatch.setattr(DensityPlot, "on_fit_end", lambda *_: None)


@pytest.mark.parametrize("axes", [1, 2])
def test_it_leaves_a_picture_an_animation_and_the_games_value(axes: int, tmp_path: Path):
    gan, plot, notebook = small_gan(axes), DensityPlot(2, count=300), Notebook()
    fit(gan, axes, tmp_path, plot, logger=notebook)
    assert plot.paths == [tmp_path / "density.png", tmp_path / "evolution.gif"]
    with Image.open(plot.paths[1]) as animation:
        assert getattr(animation, "n_frames", 1) == 4
    ((key, step, picture),) = notebook.pictures
    assert (key, step) == ("density", 5) and picture.dtype == np.uint8
    assert (np.asarray(Image.open(plot.paths[0])) == picture).all()

    assert list(notebook.lines) == [0, 2, 4, 5]
    # By hand: the generator that is trained, 300 fakes as 37 batches of 8 or 9, or 5 of 60, normalised each by itself.
    latents = gan.fixed_latents(300, "density")
    with torch.no_grad():
        count = 37 if axes == 1 else 5
        parts = [gan.generator.train()(latents[300 * k // count : 300 * (k + 1) // count]) for k in range(count)]
    fakes = torch.cat(parts)
    real, fake = gan.score(plot.real).sigmoid(), gan.score(fakes).sigmoid()
    expected = real.log().mean() + (1 - fake).log().mean()
    assert notebook.lines[5]["val/game_value"] == pytest.approx(expected.item(), rel=1e-5)
    assert notebook.lines[5]["val/optimal_value"] == plot.scene.optimal_value(fakes.numpy())
    assert -math.log(4) <= notebook.lines[5]["val/optimal_value"] <= 0
    error = plot.scene.discriminator_error(fakes.numpy(), real.numpy(), fake.numpy())
    assert notebook.lines[5]["val/discriminator_error"] == pytest.approx(error)
    distance = (real - 0.5).abs().mean() / 2 + (fake - 0.5).abs().mean() / 2
    assert notebook.lines[5]["val/distance_from_half"] == pytest.approx(distance.item(), rel=1e-5)


@pytest.mark.usefixtures("undrawn")
def test_the_numbers_are_of_the_generator_that_is_trained(tmp_path: Path):
    gan, plot, notebook = small_gan(1, max_iterations=3), DensityPlot(3, count=300), Notebook()
    gan.averaging = Averaging(1e12, ramp_up=None)  # an average that stays where it began
    before = {name: value.clone() for name, value in gan.averaged_generator.named_parameters()}
    fit(gan, 1, tmp_path, plot, logger=notebook)
    for name, value in gan.averaged_generator.named_parameters():
        torch.testing.assert_close(value, before[name])
    first, last = (plot.reel.frames[place].samples for place in (0, -1))
    assert not np.allclose(first, last)


@pytest.mark.usefixtures("undrawn")
def test_label_smoothing_is_part_of_the_game(tmp_path: Path):
    gan, plot, notebook = small_gan(1), DensityPlot(5, count=300), Notebook()
    gan.objectives["label_smoothing"] = LabelSmoothing(0.2)  # type: ignore[index]
    fit(gan, 1, tmp_path, plot, logger=notebook)
    last = notebook.lines[5]
    real, fake = plot.logits(gan, plot.real), plot.logits(gan, plot.fakes(gan))
    # Minus what the discriminator minimises: cross-entropies with the targets .8 and 0.
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    expected = -entropy(real, torch.full_like(real, 0.8)) - entropy(fake, torch.zeros_like(fake))
    assert last["val/game_value"] == pytest.approx(expected.item(), rel=1e-5)
    assert last["val/optimal_value"] >= least_value(0.2)
    assert last["val/game_value"] <= last["val/optimal_value"]


@pytest.mark.usefixtures("undrawn")
def test_frames_show_the_discriminator_of_their_moment(tmp_path: Path):
    gan, plot = small_gan(2), DensityPlot(1, count=50)
    fit(gan, 2, tmp_path, plot)
    (x, y), cells = plot.scene.points.axes, plot.scene.points.cells
    before, after = plot.reel.frames[0].scores, plot.newest.scores
    assert before is not None and after is not None
    scores = after.reshape(cells, cells)
    corner = gan.score(torch.tensor([[x[-1], y[0]]]))
    assert scores[-1, 0] == pytest.approx(corner.item(), rel=1e-4, abs=1e-5)
    assert not np.allclose(scores, before.reshape(cells, cells))


def test_a_critic_has_scores_and_no_game_value(tmp_path: Path):
    notebook = Notebook()
    gan = small_gan()
    gan.objectives["adversarial"] = Wasserstein()  # type: ignore[index]
    fit(gan, 1, tmp_path, DensityPlot(5, count=50), logger=notebook)
    assert all(line.keys() == {"val/optimal_value"} for line in notebook.lines.values())
    assert (tmp_path / "density.png").is_file()


def packed(pack: int) -> PackedDiscriminator:
    return PackedDiscriminator(MLPDiscriminator(shape=[2 * pack], width=8, depth=1), pack)


class Conditional(nn.Module):
    """A discriminator conditioned on classes."""

    takes_labels = True


@pytest.mark.parametrize(
    "discriminator", [packed(2), Wrapper(packed(4)), nn.Sequential(packed(2)), Wrapper(Conditional())]
)
def test_packed_and_conditional_discriminators_cannot_score_single_points(discriminator: nn.Module):
    assert not scores_single_samples(discriminator)


def test_any_other_discriminator_scores_single_points():
    assert scores_single_samples(MLPDiscriminator(shape=[2], width=8, depth=1))
    assert scores_single_samples(Wrapper(packed(1)))


def test_a_discriminator_of_packs_is_left_out(tmp_path: Path):
    gan, plot, notebook = small_gan(2, 2, Wrapper(packed(4))), DensityPlot(1, count=51), Notebook()
    fit(gan, 2, tmp_path, plot, logger=notebook)
    assert [frame.scores for frame in plot.reel.frames] == [None] * 3
    assert all(line.keys() == {"val/optimal_value"} for line in notebook.lines.values())
    assert (tmp_path / "density.png").is_file()


@pytest.mark.usefixtures("undrawn")
def test_a_long_run_keeps_few_frames(tmp_path: Path):
    plot, notebook = DensityPlot(1, count=20), Notebook()
    fit(small_gan(max_iterations=120), 1, tmp_path, plot, logger=notebook)
    assert len(notebook.lines) == 121
    assert len(plot.reel.frames) <= MOST_FRAMES + 1
    assert (plot.reel.frames[0].iteration, plot.reel.frames[-1].iteration) == (0, 120)


def test_training_is_bit_identical_with_and_without_it(tmp_path: Path):
    watched, alone = small_gan(), small_gan()
    fit(watched, 1, tmp_path, DensityPlot(1, count=20))
    fit(alone, 1, tmp_path)
    assert watched.generator.training and watched.discriminator.training
    for name, value in watched.state_dict().items():
        assert torch.equal(value, alone.state_dict()[name]), name


@pytest.mark.usefixtures("undrawn")
def test_a_resumed_run_keeps_its_part_of_space(tmp_path: Path):
    """Its fakes have moved: seen from where they are now, it would be another one."""
    first, again = DensityPlot(20, count=50), DensityPlot(20, count=50)
    begun = small_gan(2, max_iterations=20)
    fit(begun, 2, tmp_path, first, Checkpoint(100, tmp_path))
    assert first.box is not None
    assert bounds(array(first.real), array(first.fakes(begun))) != first.box
    quiet_trainer(callbacks=[again], default_root_dir=tmp_path).fit(
        small_gan(2, max_iterations=21), data(2), ckpt_path=tmp_path / "last.ckpt"
    )
    assert again.box == first.box


def interrupted_and_whole(axes: int, directory: Path) -> tuple[Path, Path]:
    """Train 4 of 6 iterations, resume, and train as many in one go; return the directories."""
    pieces, whole = directory / "pieces", directory / "whole"
    first, second, alone = (DensityPlot(2, count=30) for _ in range(3))
    fit(small_gan(axes, 4), axes, pieces, first, Checkpoint(100, pieces))
    trainer = quiet_trainer(callbacks=[second, Checkpoint(100, pieces)], default_root_dir=pieces)
    trainer.fit(small_gan(axes, 6), data(axes), ckpt_path=pieces / "last.ckpt")
    fit(small_gan(axes, 6), axes, whole, alone, Checkpoint(100, whole))
    return pieces, whole


@pytest.mark.parametrize("axes", [1, 2])
def test_a_resumed_run_draws_all_of_its_training(axes: int, tmp_path: Path):
    pieces, whole = interrupted_and_whole(axes, tmp_path)
    for name in ("density.png", "evolution.gif"):
        assert (pieces / name).read_bytes() == (whole / name).read_bytes()
    with Image.open(pieces / "evolution.gif") as animation:
        assert getattr(animation, "n_frames", 1) == 4
    states = [saved(directory)["frames"] for directory in (pieces, whole)]
    assert [frame["iteration"] for frame in states[0]] == [0, 2, 4, 6]
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)


def saved(directory: Path) -> dict[str, Any]:
    """Return the state of the callback in a checkpoint."""
    content = torch.load(directory / "last.ckpt", weights_only=True)
    state: dict[str, Any] = content["callbacks"][DensityPlot.__qualname__]
    return state


@pytest.mark.usefixtures("undrawn")
def test_the_frames_of_a_longer_run_are_thinned_out_in_a_checkpoint_of_the_shorter(tmp_path: Path):
    fit(small_gan(max_iterations=50), 1, tmp_path, DensityPlot(1, count=9), Checkpoint(100, tmp_path))
    again = DensityPlot(1, count=9)
    trainer = quiet_trainer(callbacks=[again, Checkpoint(100, tmp_path)], default_root_dir=tmp_path)
    trainer.fit(small_gan(max_iterations=100), data(1), ckpt_path=tmp_path / "last.ckpt")
    assert [frame.iteration for frame in again.reel.frames] == list(range(0, 101, 2))


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.usefixtures("undrawn")
def test_a_checkpoint_holds_a_megabyte_of_frames_at_most(axes: int, tmp_path: Path):
    plot = DensityPlot(1, count=5000)
    fit(small_gan(axes, 1), axes, tmp_path, plot)
    samples, scores = (plot.state_dict()["frames"][-1][name] for name in ("samples", "scores"))
    assert samples.shape == (2500, axes) and samples.dtype == scores.dtype == torch.float16
    assert (MOST_FRAMES + 1) * (samples.nbytes + scores.nbytes) < (320_000, 1_000_000)[axes - 1]


def frame(**changes: Any) -> dict[str, Any]:
    known = {"iteration": 0, "samples": torch.zeros(3, 1).half(), "scores": torch.zeros(512).half()}
    return {**known, "game_value": -1.0, "optimal_value": -1.0, "discriminator_error": 0.1, **changes}


@pytest.mark.parametrize(
    "state",
    [
        {"box": "garbage"},
        {"box": 3},
        {"box": ([0.0], [float("nan")])},
        {"box": ([1.0], [0.0])},
        {"box": ([], [])},
        {"frames": [3]},
        {"frames": [{}]},
        {"frames": [frame(more=1)]},
        *({"frames": [frame(), frame(**{name: "x"})]} for name in frame()),
        {"frames": [frame(samples=torch.zeros(3, 2))]},
        {"frames": [frame(samples=torch.zeros(0, 1))]},
        {"frames": [frame(samples=torch.zeros(3, 1, dtype=torch.int64))]},
        {"frames": [frame(samples=torch.zeros(9999, 1))]},
        {"frames": [frame(scores=torch.zeros(511))]},
    ],
)
def test_a_damaged_state_is_one_sentence(state: dict[str, Any], tmp_path: Path):
    plot = DensityPlot(1, count=20)
    plot.load_state_dict({"box": ((0.0,), (1.0,)), "frames": [], **state})
    with pytest.raises(ValueError, match=r"^the checkpoint cannot be restored, .*: .*[^\n]$"):
        fit(small_gan(), 1, tmp_path, plot)


def test_only_the_first_rank_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Trainer, "is_global_zero", property(lambda trainer: False))
    plot = DensityPlot(1, count=20)
    fit(small_gan(), 1, tmp_path, plot)
    assert plot.paths == [] and not list(tmp_path.iterdir())


def test_data_of_unknown_density_are_refused():
    digits = Mnist10k(shape=[1, 28, 28], num_classes=10, value_range=[-1, 1], batch_size=8, seed=0)
    with pytest.raises(ValueError, match="callbacks=images"):
        known_distribution(digits)


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="callbacks.density.count"):
        DensityPlot(1, count=1)
