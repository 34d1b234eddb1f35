"""Packing by hand: a linear discriminator of packs, whose scores and slopes are known."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from helpers.compose import SMALL, answers, composed, job_part
from helpers.jobs import train
from helpers.tiny_gan import TinyGenerator, play, weights
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from torch import Tensor, nn

from gan_lightning.ema import Averaging
from gan_lightning.game import DiscriminatorOutput, Latent, Round, discriminate, takes_labels
from gan_lightning.gan import GAN
from gan_lightning.losses.adversarial import NonSaturating, Wasserstein
from gan_lightning.priors import Gaussian
from gan_lightning.randomness import Noise
from gan_lightning.regularizers.gradient_penalties import R1, GradientPenalty, input_gradients
from gan_lightning.variants.pacgan import PackedDiscriminator
from gan_lightning.wrappers.base import Wrapper


class Linear(nn.Module):
    """The inner product of each sample's values with 1, 2, 3, ...; the samples are the features."""

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        values = samples.flatten(1)
        return DiscriminatorOutput(values @ torch.arange(1.0, values.shape[1] + 1), samples)


class Quadratic(nn.Module):
    """Half the square of each sample, whose slope is the sample itself."""

    def forward(self, samples: Tensor) -> Tensor:
        return samples.flatten(1).square().sum(1) / 2


class Told(nn.Module):
    """A discriminator that takes classes."""

    takes_labels = True


def scored(network: nn.Module, samples: list[list[float]], pack: int) -> list[float]:
    return discriminate(PackedDiscriminator(network, pack), torch.tensor(samples)).logits.tolist()


def test_neighbours_are_scored_together_in_their_order() -> None:
    samples = [[1.0, 10.0], [100.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    assert scored(Linear(), samples, pack=2) == [1 + 20 + 300, 4]
    assert scored(Linear(), samples, pack=4) == [1 + 20 + 300 + 8]
    assert scored(Linear(), samples, pack=1) == [21, 100, 0, 2]


def test_images_are_packed_as_channels_and_keep_their_places() -> None:
    images = torch.randn(6, 2, 4, 5)
    features = discriminate(PackedDiscriminator(Linear(), 3), images).features
    assert features is not None
    assert features.shape == (2, 6, 4, 5)
    for pack, channel in ((0, 0), (0, 5), (1, 3)):
        assert torch.equal(features[pack, channel], images[3 * pack + channel // 2, channel % 2])


def test_a_pack_is_scored_by_itself() -> None:
    samples = torch.randn(8, 2, requires_grad=True)
    logits = discriminate(PackedDiscriminator(Linear(), 4), samples).logits
    (slope,) = torch.autograd.grad(logits[1], samples)
    assert slope[:4].eq(0).all()
    assert slope[4:].flatten().tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_real_and_fake_are_packed_alike_and_apart() -> None:
    real, fake = torch.randn(4, 2), torch.randn(4, 2)
    round = Round(nn.Identity(), PackedDiscriminator(Linear()), Latent(torch.zeros(4, 1)), real, fake)
    for logits, samples in ((round.real_logits, real), (round.fake_logits, fake)):
        by_hand = [torch.cat([samples[i], samples[i + 1]]) @ torch.tensor([1.0, 2, 3, 4]) for i in (0, 2)]
        torch.testing.assert_close(logits, torch.stack(by_hand))


def test_any_loss_of_means_is_that_of_the_packs() -> None:
    real, fake = torch.randn(6, 2), torch.randn(6, 2)
    latent = Latent(torch.zeros(6, 1))
    packs = Round(nn.Identity(), PackedDiscriminator(Linear(), 3), latent, real, fake)
    by_hand = Round(nn.Identity(), Linear(), latent, real.reshape(2, 6), fake.reshape(2, 6))
    for loss in (NonSaturating(), Wasserstein()):
        torch.testing.assert_close(loss.discriminator(packs), loss.discriminator(by_hand))
        torch.testing.assert_close(loss.generator(packs), loss.generator(by_hand))


# Slopes: the discriminator's sample is the pack, and so is what its slope is taken at.


def test_the_slope_is_that_at_the_pack() -> None:
    samples = torch.randn(4, 2, requires_grad=True)
    found = input_gradients(discriminate(PackedDiscriminator(Linear()), samples).logits, samples)
    assert found.tolist() == [[1, 2, 3, 4]] * 2


def test_r1_is_that_of_the_packs() -> None:
    real = torch.randn(6, 2, requires_grad=True)
    latent = Latent(torch.zeros(6, 1))
    found = R1(gamma=1).discriminator(
        Round(nn.Identity(), PackedDiscriminator(Quadratic(), 3), latent, real, real.detach())
    )
    assert found is not None
    torch.testing.assert_close(found, real.square().sum() / 2 / 2)  # half the mean over two packs


class Known(Noise):
    """U(0, 1) without chance: 1/8, 2/8, ... for the samples of a batch."""

    def uniform(self, count: int, shape: object, device: torch.device) -> Tensor:
        return (torch.arange(1.0, count + 1, device=device) / 8)[:, None]


def test_the_gradient_penalty_is_on_the_slope_at_a_mixture_of_two_packs() -> None:
    """x = u * 1 + (1 - u) * 0 in all four values of a pack, so that its slope is 2 u, with the first u of the pack."""
    real, fake = torch.ones(4, 2), torch.zeros(4, 2)
    round = Round(nn.Identity(), PackedDiscriminator(Quadratic()), Latent(torch.zeros(4, 1)), real, fake, noise=Known())
    found = GradientPenalty(weight=1).discriminator(round)
    assert found is not None
    assert found.item() == pytest.approx(((2 / 8 - 1) ** 2 + (6 / 8 - 1) ** 2) / 2, abs=1e-6)


# What cannot work


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match=r"8 samples.* packs of wrappers\.pacgan\.pack=3: choose a data\.batch_size"):
        discriminate(PackedDiscriminator(Linear(), 3), torch.zeros(8, 2))


@pytest.mark.parametrize("network", [Told(), Wrapper(Told())])
def test_a_conditional_discriminator_is_refused(network: nn.Module) -> None:
    with pytest.raises(ValueError, match="no one class"):
        PackedDiscriminator(network)


@pytest.mark.parametrize("pack", [0, -1, 1.5, "two"])
def test_packs_are_of_whole_samples(pack: object) -> None:
    with pytest.raises(ValueError, match=r"wrappers\.pacgan\.pack must be a whole number of at least 1"):
        PackedDiscriminator(Linear(), pack)  # type: ignore[arg-type]


def test_classes_of_the_data_are_ignored() -> None:
    assert discriminate(PackedDiscriminator(Linear()), torch.zeros(4, 2), torch.arange(4)).logits.tolist() == [0, 0]


# As a whole


class OfPacks(nn.Module):
    def __init__(self, pack: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * pack, 5), nn.LeakyReLU(0.2), nn.Linear(5, 1), nn.Flatten(0))

    def forward(self, samples: Tensor) -> Tensor:
        return self.layers(samples)


def pac_gan(micro_batches: int = 1) -> GAN:
    torch.manual_seed(0)
    optimizer = partial(torch.optim.Adam, lr=1e-2)
    return GAN(
        TinyGenerator(),
        PackedDiscriminator(OfPacks(2)),
        Gaussian(3),
        {"adversarial": NonSaturating()},
        optimizer,
        optimizer,
        Averaging(20, ramp_up=None),
        max_iterations=3,
        micro_batches=micro_batches,
    )


def test_micro_batches_play_the_same_game() -> None:
    whole, pieces = pac_gan(), pac_gan(micro_batches=2)
    play(whole)
    play(pieces)
    for player, other in ((whole.generator, pieces.generator), (whole.discriminator, pieces.discriminator)):
        torch.testing.assert_close(weights(player), weights(other), rtol=1e-4, atol=1e-5)


def test_a_checkpoint_is_that_of_the_network_within() -> None:
    network = OfPacks(2)
    PackedDiscriminator(OfPacks(2)).network.load_state_dict(network.state_dict())
    assert PackedDiscriminator(network).state_dict().keys() == {f"network.{name}" for name in network.state_dict()}


@pytest.mark.parametrize("model", answers("model"))
def test_the_discriminator_of_every_model_is_made_for_packs(model: str) -> None:
    energies = ["loss=ebgan"] if model == "autoencoder" else []
    with composed("variant=pacgan", "wrappers.pacgan.pack=3", f"model={model}", *energies) as config:
        assert list(config.model.discriminator.shape) == [3, 28, 28]
        parts = job_part(config)
    accepts = parts.model.accepts
    if accepts is not None and 3 not in accepts.channels:
        pytest.skip("made for one channel alone")
    if takes_labels(instantiate(parts.model.discriminator, _convert_="all")):
        with pytest.raises(InstantiationException, match="no one class"):
            instantiate(parts.gan.discriminator, _convert_="all")
    else:
        discriminator = instantiate(parts.gan.discriminator, _convert_="all").eval()
        assert discriminate(discriminator, torch.zeros(6, 1, 28, 28)).logits.shape == (2,)


def test_it_plays_on_the_ring_and_its_picture_leaves_the_discriminator_out(tmp_path: Path) -> None:
    tiny = ("model.generator.width=8", "model.discriminator.width=8", "metrics.num_fakes=200")
    settings = ("experiment=ring", "variant=pacgan", "wrappers.pacgan.pack=4", "callbacks.density.count=202", *tiny)
    with composed(*settings, *SMALL, "data.reference_size=200", directory=tmp_path) as config:
        train(job_part(config))
    assert (tmp_path / "density.png").is_file()
    head = (tmp_path / "metrics.csv").read_text().splitlines()[0]
    assert "val/optimal_value" in head
    assert "val/game_value" not in head
