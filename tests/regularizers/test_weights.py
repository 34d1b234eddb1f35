"""Weight clipping: what it clamps, what it leaves, and when."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gan_lightning.game import Latent, Round
from gan_lightning.regularizers.weights import WeightClipping


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
    clipping.observe(round)
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
        WeightClipping(bound=0.01).observe(round)
    torch.testing.assert_close(linear.weight.detach(), torch.full((1, 2), 0.01))


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan")])
def test_bad_bound_is_refused(bound: float) -> None:
    with pytest.raises(ValueError, match=r"loss\.objectives\.weight_clipping\.bound must be above 0"):
        WeightClipping(bound)
