"""One-sided label smoothing against losses with smoothed targets."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lightning.game import Latent, Round
from gan_lightning.losses.adversarial import LeastSquares, Minimax, NonSaturating
from gan_lightning.regularizers.labels import LabelSmoothing


def scored() -> tuple[Round, Tensor, Tensor]:
    """A round whose samples are their own logits, with the logits of data and fakes."""
    real = torch.tensor([3.0, 0.4, -0.7], requires_grad=True)
    fake = torch.tensor([2.2, 0.1, -3.0], requires_grad=True)
    return Round(nn.Identity(), nn.Identity(), Latent(torch.zeros(3, 1)), real, fake), real, fake


@pytest.mark.parametrize("loss", [NonSaturating(), Minimax()])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_with_a_logistic_loss_it_is_cross_entropy_with_smoothed_targets(loss: NonSaturating, smoothing: float) -> None:
    round, real, fake = scored()
    found = loss.discriminator(round) + LabelSmoothing(smoothing).discriminator(round)
    targets = torch.full((3,), 1 - smoothing)
    expected = F.binary_cross_entropy_with_logits(real, targets)
    expected = expected + F.binary_cross_entropy_with_logits(fake, torch.zeros(3))  # fakes are not smoothed
    torch.testing.assert_close(found, expected)


def test_with_least_squares_it_is_a_smoothed_target_up_to_a_constant() -> None:
    round, real, fake = scored()
    found = LeastSquares().discriminator(round) + LabelSmoothing(0.1).discriminator(round)
    smoothed = LeastSquares(real_target=0.9).discriminator(round)
    assert (found - smoothed).item() == pytest.approx(0.1 - 0.1**2 / 2)
    for ours, theirs in zip(
        torch.autograd.grad(found, (real, fake)), torch.autograd.grad(smoothed, (real, fake)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_the_generators_target_is_not_smoothed() -> None:
    assert LabelSmoothing().generator(scored()[0]) is None


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_bad_smoothing_is_refused(smoothing: float) -> None:
    with pytest.raises(ValueError, match=r"loss\.objectives\.label_smoothing\.smoothing must be in \[0, 1\)"):
        LabelSmoothing(smoothing)
