"""Losses of score differences. Samples are their own scores: the discriminator is the identity."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lightning.game import Latent, Objective, Round
from gan_lightning.losses.relativistic import RelativisticAverage, RelativisticPairing

LOSSES = [RelativisticPairing, RelativisticAverage]
PLAYERS = ["discriminator", "generator"]


def scored(real: Tensor, fake: Tensor) -> Round:
    """A round whose logits are `real` and `fake`."""
    return Round(nn.Identity(), nn.Identity(), Latent(torch.zeros(len(fake), 1)), real, fake)


def logits() -> tuple[Tensor, Tensor]:
    return torch.tensor([3.0, 0.4, -0.7, -2.5]), torch.tensor([2.2, 1.1, -0.6, -3.0])


def test_pairing_is_cross_entropy_of_the_difference_in_each_pair() -> None:
    real, fake = logits()
    round = scored(real, fake)
    one, zero = torch.ones(4), torch.zeros(4)
    discriminator = F.binary_cross_entropy_with_logits(real - fake, one)
    torch.testing.assert_close(RelativisticPairing().discriminator(round), discriminator)
    generator = F.binary_cross_entropy_with_logits(real - fake, zero)
    torch.testing.assert_close(RelativisticPairing().generator(round), generator)
    others = RelativisticPairing().discriminator(scored(real, fake.flip(0)))  # other pairs, another loss
    assert (others - discriminator).abs() > 0.1


def test_average_is_cross_entropy_against_the_mean_of_the_other_side() -> None:
    real, fake = logits()
    round = scored(real, fake)
    one, zero = torch.ones(4), torch.zeros(4)

    def cross_entropy(reals: Tensor, fakes: Tensor) -> Tensor:
        above = F.binary_cross_entropy_with_logits(real - fake.mean(), reals)
        return above + F.binary_cross_entropy_with_logits(fake - real.mean(), fakes)

    torch.testing.assert_close(RelativisticAverage().discriminator(round), cross_entropy(one, zero))
    torch.testing.assert_close(RelativisticAverage().generator(round), cross_entropy(zero, one))
    others = RelativisticAverage().discriminator(scored(real, fake.flip(0)))  # there are no pairs
    torch.testing.assert_close(others, RelativisticAverage().discriminator(round))


def test_by_hand() -> None:
    round = scored(torch.tensor([math.log(3.0), 0.0]), torch.tensor([0.0, 0.0]))
    # sigmoid of the differences: 3/4 and 1/2
    assert RelativisticPairing().discriminator(round).item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    assert RelativisticPairing().generator(round).item() == pytest.approx((math.log(4) + math.log(2)) / 2)
    middle = math.log(3) / 2  # the mean score of data, above each fake
    fakes = math.log(1 + math.exp(-middle))
    expected = (math.log(4 / 3) + math.log(2)) / 2 + fakes
    assert RelativisticAverage().discriminator(round).item() == pytest.approx(expected)


@pytest.mark.parametrize(("kind", "value"), [(RelativisticPairing, math.log(2)), (RelativisticAverage, math.log(4))])
def test_both_players_have_the_same_loss_where_data_and_fakes_score_alike(kind: type[Objective], value: float) -> None:
    round = scored(torch.full((5,), 7.0), torch.full((5,), 7.0))
    for player in PLAYERS:
        assert getattr(kind(), player)(round).item() == pytest.approx(value)


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("kind", LOSSES)
def test_only_differences_count(kind: type[Objective], player: str) -> None:
    real, fake = logits()
    loss = getattr(kind(), player)
    torch.testing.assert_close(loss(scored(real + 5, fake + 5)), loss(scored(real, fake)))
    moved = [side.clone().requires_grad_() for side in (real, fake)]
    slopes = torch.autograd.grad(loss(scored(*moved)), moved)
    assert slopes[0].abs().max() > 0.05
    assert (slopes[0].sum() + slopes[1].sum()).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", LOSSES)
def test_the_generators_game_is_the_discriminators_with_the_sides_exchanged(kind: type[Objective]) -> None:
    real, fake = logits()
    torch.testing.assert_close(kind().generator(scored(real, fake)), kind().discriminator(scored(fake, real)))
