"""Objectives on the weights: what clipping clamps and when, and which past historical averaging keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.tiny_gan import TinyDiscriminator, TinyGenerator, play, tiny_gan, weights
from torch import Tensor, nn

from gan_lightning.game import Latent, Round
from gan_lightning.gan import GAN
from gan_lightning.losses.adversarial import NonSaturating
from gan_lightning.regularizers.weights import HistoricalAveraging, WeightClipping


def test_clips_every_weight_of_the_discriminator_and_nothing_else() -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(50)
    critic = nn.Sequential(nn.Linear(2, 50), norm, nn.Linear(50, 1), nn.Flatten(0))
    generator = nn.Linear(1, 2)
    before = [weight.detach().clone() for weight in critic.parameters()]
    fakes = [weight.detach().clone() for weight in generator.parameters()]
    round = Round(generator, critic, Latent(torch.zeros(4, 1)), torch.randn(4, 2), torch.randn(4, 2))
    clipping = WeightClipping(bound=0.1)
    assert clipping.discriminator(round) is None
    assert clipping.generator(round) is None
    clipping.after_discriminator_step(round)
    for weight, old in zip(critic.parameters(), before, strict=True):
        assert weight.requires_grad
        torch.testing.assert_close(weight.detach(), old.clamp(-0.1, 0.1), rtol=0, atol=0)
    assert (before[0].abs() > 0.1).any()
    assert (before[0].abs() < 0.1).any()
    torch.testing.assert_close(norm.weight.detach(), torch.full((50,), 0.1))  # the scale of a normalisation is a weight
    torch.testing.assert_close(norm.running_var, torch.ones(50))  # a running statistic is not
    assert all((w == old).all() for w, old in zip(generator.parameters(), fakes, strict=True))


def test_the_critic_still_learns_after_clipping() -> None:
    linear = nn.Linear(2, 1)
    critic = nn.Sequential(linear, nn.Flatten(0))
    round = Round(nn.Identity(), critic, Latent(torch.zeros(4, 1)), torch.ones(4, 2), torch.zeros(4, 2))
    optimizer = torch.optim.SGD(critic.parameters(), lr=1.0)
    for _ in range(2):
        optimizer.zero_grad()
        (-critic(round.real).mean()).backward()
        optimizer.step()
        WeightClipping(bound=0.01).after_discriminator_step(round)
    torch.testing.assert_close(linear.weight.detach(), torch.full((1, 2), 0.01))


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan")])
def test_bad_bound_is_refused(bound: float) -> None:
    with pytest.raises(ValueError, match=r"loss\.objectives\.weight_clipping\.bound must be above 0"):
        WeightClipping(bound)


def pair(updates: int = 0) -> Round:
    """A generator of the weights (1, 2) and a discriminator of the weight 5, after `updates` updates."""
    generator, discriminator = nn.Linear(1, 1), nn.Linear(1, 1, bias=False)
    for network, values in ((generator, [1.0, 2.0]), (discriminator, [5.0])):
        nn.utils.vector_to_parameters(torch.tensor(values), network.parameters())
    return Round(
        generator,
        discriminator,
        Latent(torch.zeros(2, 1)),
        torch.ones(2, 1),
        torch.ones(2, 1),
        discriminator_updates=updates,
    )


def test_distance_from_the_mean_of_the_past_by_hand() -> None:
    averaging = HistoricalAveraging(nn.Linear(1, 1), nn.Linear(1, 1, bias=False), weight=0.5)
    assert averaging.discriminator(pair(updates=0)) is None  # there is no mean yet
    averaging.after_discriminator_step(pair(updates=0))
    later = pair(updates=1)
    nn.utils.vector_to_parameters(torch.tensor([3.0, -4.0]), later.generator.parameters())
    averaging.after_discriminator_step(later)
    torch.testing.assert_close(averaging.generator_mean, torch.tensor([2.0, -1.0]))
    now = pair(updates=2)
    term = averaging.generator(now)
    assert term.item() == 0.5 * (1 + 9)  # (1, 2) from (2, -1)
    term.backward()
    grads = [parameter.grad for parameter in now.generator.parameters()]
    assert [grad.item() for grad in grads if grad is not None] == [-1.0, 3.0]
    still = averaging.discriminator(now)  # its weight has always been 5
    assert still is not None
    assert still.item() == 0


class Remembering(HistoricalAveraging):
    """Keeps every past as well."""

    def __init__(self) -> None:
        super().__init__(TinyGenerator(), TinyDiscriminator())
        self.past: dict[str, list[Tensor]] = {"generator": [], "discriminator": []}

    def after_discriminator_step(self, round: Round) -> None:
        super().after_discriminator_step(round)
        for player, kept in self.past.items():
            kept.append(weights(getattr(round, player)).clone())


def averaged(max_iterations: int = 6, discriminator_steps: int = 1) -> GAN:
    objectives = {"adversarial": NonSaturating(), "historical_averaging": Remembering()}
    return tiny_gan(objectives, max_iterations=max_iterations, discriminator_steps=discriminator_steps)


@pytest.mark.parametrize("steps", [1, 2])
def test_the_mean_is_that_of_all_past_weights(steps: int) -> None:
    gan = averaged(discriminator_steps=steps)
    start = weights(gan.generator)
    play(gan)
    averaging = gan.objectives["historical_averaging"]
    assert isinstance(averaging, Remembering)
    assert torch.equal(averaging.past["generator"][0], start)  # the generator's updates is yet to come
    for player, kept in averaging.past.items():
        assert len(kept) == 6 * steps
        assert not torch.equal(kept[0], kept[-1])
        torch.testing.assert_close(getattr(averaging, f"{player}_mean"), torch.stack(kept).mean(0))


def test_the_past_is_in_the_checkpoint(tmp_path: Path) -> None:
    whole, first, second = averaged(), averaged(max_iterations=3), averaged()
    play(whole)
    trainer = play(first)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    play(second, ckpt_path=tmp_path / "half.ckpt")
    assert torch.equal(weights(second.discriminator), weights(whole.discriminator))
    for name, value in nn.ModuleDict(whole.objectives).state_dict().items():
        assert torch.equal(nn.ModuleDict(second.objectives).state_dict()[name], value), name


def test_the_memory_format_of_weights_does_not_matter() -> None:
    torch.manual_seed(0)
    plain, turned = nn.Conv2d(3, 4, 2), nn.Conv2d(3, 4, 2)
    turned.load_state_dict(plain.state_dict())
    turned.weight.data = turned.weight.data.contiguous(memory_format=torch.channels_last)
    assert plain.weight.stride() != turned.weight.stride()
    averaging = HistoricalAveraging(plain, turned)
    latent, images = Latent(torch.zeros(2, 1)), torch.ones(2, 3, 2, 2)
    averaging.after_discriminator_step(Round(plain, turned, latent, images, images))
    assert torch.equal(averaging.generator_mean, averaging.discriminator_mean)
    plain.weight.detach().add_(0.5)
    assert averaging.generator(Round(plain, turned, latent, images, images)).item() == pytest.approx(48 * 0.25)


def test_it_holds_weights_back() -> None:
    """Far from the past the term outweighs the game: weights move less than without it."""
    plain, held = (tiny_gan(max_iterations=30), averaged(max_iterations=30))
    start = weights(plain.discriminator)
    play(plain)
    play(held)
    assert (weights(held.discriminator) - start).norm() < 0.7 * (weights(plain.discriminator) - start).norm()


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match=r"loss\.objectives\.historical_averaging\.weight must be at least 0, not -1"):
        HistoricalAveraging(nn.Linear(1, 1), nn.Linear(1, 1), weight=-1)
