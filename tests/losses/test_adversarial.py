"""Every loss of scores against a second derivation. Samples are their own scores: the discriminator is the identity."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lightning.game import Latent, Objective, Round
from gan_lightning.losses.adversarial import Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein
from gan_lightning.losses.relativistic import RelativisticAverage, RelativisticPairing

LOSSES = [NonSaturating, Minimax, LeastSquares, Hinge, Wasserstein, RelativisticPairing, RelativisticAverage]

# Two distributions over four outcomes, in exact proportion: each outcome appears as often as it is likely.
P, Q = torch.tensor([5, 3, 1, 1]), torch.tensor([1, 1, 4, 4])


def scored(real: Tensor, fake: Tensor) -> Round:
    """A round whose logits are `real` and `fake`."""
    return Round(nn.Identity(), nn.Identity(), Latent(torch.zeros(len(fake), 1)), real, fake)


def logits() -> tuple[Tensor, Tensor]:
    """Scores on both sides of every kink and far from it."""
    return torch.tensor([3.0, 0.4, -0.7, -2.5]), torch.tensor([2.2, 0.1, -0.6, -3.0])


def test_the_logistic_losses_are_cross_entropies() -> None:
    real, fake = logits()
    one, zero = torch.ones(4), torch.zeros(4)
    round = scored(real, fake)
    discriminator = F.binary_cross_entropy_with_logits(real, one) + F.binary_cross_entropy_with_logits(fake, zero)
    torch.testing.assert_close(NonSaturating().discriminator(round), discriminator)
    torch.testing.assert_close(Minimax().discriminator(round), discriminator)
    torch.testing.assert_close(NonSaturating().generator(round), F.binary_cross_entropy_with_logits(fake, one))
    torch.testing.assert_close(Minimax().generator(round), -F.binary_cross_entropy_with_logits(fake, zero))


def test_minimax_is_zero_sum_in_the_fakes() -> None:
    real, fake = logits()
    fake.requires_grad_()
    round = scored(real, fake)
    (loss,) = torch.autograd.grad(Minimax().discriminator(round), fake)
    (gain,) = torch.autograd.grad(Minimax().generator(round), fake)
    torch.testing.assert_close(loss, -gain)


def test_value_of_the_game_at_equality_is_minus_log_4() -> None:
    undecided = torch.zeros(5)
    assert -Minimax().discriminator(scored(undecided, undecided)).item() == pytest.approx(-math.log(4))


def best_round(score: Tensor) -> tuple[Round, Tensor, Tensor]:
    """The round in which outcome i scores `score[i]`, with its leaves."""
    real, fake = score.repeat_interleave(P).requires_grad_(), score.repeat_interleave(Q).requires_grad_()
    return scored(real, fake), real, fake


@pytest.mark.parametrize("loss", [NonSaturating(), Minimax()])
def test_best_logistic_discriminator_measures_the_jensen_shannon_divergence(loss: NonSaturating) -> None:
    p, q = P / P.sum(), Q / Q.sum()
    round, real, fake = best_round((p / q).log())  # D* = p / (p + q)
    value = -loss.discriminator(round)
    assert (value + math.log(4)).item() == pytest.approx(2 * jensenshannon(p, q) ** 2, rel=1e-5)
    assert_stationary(value, real, fake)


def test_best_least_squares_discriminator() -> None:
    p, q = P / P.sum(), Q / Q.sum()
    round, real, fake = best_round(p / (p + q))  # Mao et al. 2017, eq. 5, with a = 0 and b = 1
    loss = LeastSquares().discriminator(round)
    torch.testing.assert_close(loss, (p * q / (p + q)).sum() / 2)
    assert_stationary(loss, real, fake)


def assert_stationary(value: Tensor, real: Tensor, fake: Tensor) -> None:
    """No change of an outcome's score, on real and fake alike, changes `value`."""
    real_slope, fake_slope = torch.autograd.grad(value, (real, fake))
    totals = torch.zeros(4).index_add_(0, torch.arange(4).repeat_interleave(P), real_slope)
    totals.index_add_(0, torch.arange(4).repeat_interleave(Q), fake_slope)
    assert real_slope.abs().max() > 1e-3
    torch.testing.assert_close(totals, torch.zeros(4), atol=1e-6, rtol=0)


def test_least_squares_by_hand() -> None:
    round = scored(torch.tensor([2.0, 0.0]), torch.tensor([1.0, -1.0]))
    assert LeastSquares().discriminator(round).item() == 0.5 * 1 + 0.5 * 1
    assert LeastSquares().generator(round).item() == 0.5 * 2
    pearson = LeastSquares(fake_target=-1, real_target=1, generator_target=0)
    assert pearson.discriminator(round).item() == 0.5 * 1 + 0.5 * 2
    assert pearson.generator(round).item() == 0.5 * 1


def test_hinge_is_a_ranking_loss_against_zero() -> None:
    real, fake = logits()
    zero, one = torch.zeros(4), torch.ones(4)
    expected = F.margin_ranking_loss(real, zero, one, margin=1) + F.margin_ranking_loss(fake, zero, -one, margin=1)
    torch.testing.assert_close(Hinge().discriminator(scored(real, fake)), expected)
    assert Hinge().generator(scored(real, torch.tensor([5.0, -1.0]))).item() == -2  # not hinged


def test_wasserstein_is_a_difference_of_means() -> None:
    round = scored(torch.tensor([4.0, 2.0]), torch.tensor([1.0, 0.0]))
    assert Wasserstein().discriminator(round).item() == 0.5 - 3
    assert Wasserstein().generator(round).item() == -0.5


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("kind", LOSSES)
def test_gradients_are_the_finite_differences(kind: type[Objective], player: str) -> None:
    real, fake = (side.requires_grad_() for side in logits())
    loss = getattr(kind(), player)
    found = torch.autograd.grad(loss(scored(real, fake)), (real, fake), materialize_grads=True)
    step = 1e-2 * torch.eye(4)
    for side, gradient in enumerate(found):
        for i, row in enumerate(step):
            up, down = ([x.detach() + s * row * (side == n) for n, x in enumerate((real, fake))] for s in (1, -1))
            difference = (loss(scored(*up)) - loss(scored(*down))) / 2e-2
            assert gradient[i].item() == pytest.approx(difference.item(), abs=1e-3)


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("kind", LOSSES)
def test_huge_logits_stay_finite(kind: type[Objective], player: str) -> None:
    real, fake = torch.tensor([1e4, -1e4], requires_grad=True), torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = getattr(kind(), player)(scored(real, fake))
    gradients = torch.autograd.grad(loss, (real, fake), materialize_grads=True)
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.abs().max() > 0.4 for gradient in gradients)  # where the score is wrong it is still pulled


def test_the_loss_of_a_confident_wrong_discriminator_is_its_logit() -> None:
    assert NonSaturating().discriminator(scored(torch.tensor([-1e4]), torch.tensor([1e4]))).item() == 2e4


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("kind", LOSSES)
def test_half_precision_logits_are_averaged_in_float32(kind: type[Objective], player: str) -> None:
    generator = torch.Generator().manual_seed(0)
    half = [torch.randn(999, generator=generator).bfloat16() for _ in range(2)]
    with torch.autocast("cpu", torch.bfloat16):
        loss = getattr(kind(), player)(scored(*half))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, getattr(kind(), player)(scored(*(x.float() for x in half))))


def test_targets_must_be_in_order() -> None:
    with pytest.raises(ValueError, match=r"loss\.objectives\.adversarial\.fake_target must be below real_target"):
        LeastSquares(fake_target=1.0, real_target=0.0)
