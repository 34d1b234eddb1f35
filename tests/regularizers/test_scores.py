"""LeCam's anchors and formula, and what consistency does to an image."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_gan import play, tiny_gan, weights
from torch import Tensor, nn

from gan_lightning.game import Latent, Round
from gan_lightning.losses.adversarial import NonSaturating, Wasserstein
from gan_lightning.regularizers.scores import Consistency, LeCam


def scored(real: list[float], fake: list[float], updates: int = 1) -> Round:
    """A round whose logits are `real` and `fake`."""
    sides = torch.tensor(real, requires_grad=True), torch.tensor(fake, requires_grad=True)
    return Round(nn.Identity(), nn.Identity(), Latent(torch.zeros(len(fake), 1)), *sides, discriminator_updates=updates)


def anchored(real: float, fake: float, weight: float = 1.0) -> LeCam:
    """LeCam with its anchors set."""
    lecam = LeCam(weight)
    lecam.real.fill_(real)
    lecam.fake.fill_(fake)
    return lecam


def test_lecam_draws_each_side_to_the_anchor_of_the_other() -> None:
    round = scored([2.0, 0.0], [1.0, -1.0])
    lecam = anchored(real=3.0, fake=-1.0, weight=0.5)
    term = lecam.discriminator(round)
    assert term is not None
    assert term.item() == 0.5 * ((9 + 1) / 2 + (4 + 16) / 2)
    real, fake = torch.autograd.grad(term, (round.real, round.fake))
    assert real.tolist() == [1.5, 0.5]  # weight 2 (D - a_F) / batch
    assert fake.tolist() == [-1.0, -2.0]
    assert lecam.generator(round) is None


def test_lecam_with_a_wasserstein_loss_is_the_lecam_divergence() -> None:
    """With anchors a_R = -a_F = alpha, as in the paper's proposition 1. The closed form is derived anew."""
    p, q, alpha, weight = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.1, 0.3, 0.6]), 1.5, 0.3
    counts = [(10 * mass).round().long() for mass in (p, q)]
    best = (p - q) / (p + q) * (1 / (2 * weight) - alpha)  # where the loss below is stationary
    real, fake = (best.repeat_interleave(count) for count in counts)
    round = scored(real.tolist(), fake.tolist())
    term = anchored(alpha, -alpha, weight).discriminator(round)
    assert term is not None
    value = Wasserstein().discriminator(round) + term
    slopes = torch.autograd.grad(value, (round.real, round.fake))
    totals = torch.zeros(3)
    for slope, count in zip(slopes, counts, strict=True):
        totals.index_add_(0, torch.arange(3).repeat_interleave(count), slope)
    torch.testing.assert_close(totals, torch.zeros(3), atol=1e-6, rtol=0)
    divergence = ((p - q).square() / (p + q)).sum()
    expected = 2 * weight * alpha**2 - weight * (1 / (2 * weight) - alpha) ** 2 * divergence
    torch.testing.assert_close(value.detach(), expected)


def test_anchors_are_moving_averages_that_forget_where_they_began() -> None:
    """Against the weighted mean of all that was seen, the latest by weight 1, the one before by the decay, ..."""
    lecam, reals, fakes = LeCam(decay=0.9), [3.0, -1.0, 4.0, 1.0], [-5.0, 9.0, -2.0, 6.0]
    for updates in range(4):
        lecam.after_discriminator_step(scored([reals[updates] + 1, reals[updates] - 1], [fakes[updates]] * 2, updates))
        shares = 0.9 ** torch.arange(updates, -1, -1)
        for anchor, seen in ((lecam.real, reals), (lecam.fake, fakes)):
            expected = (shares * torch.tensor(seen[: updates + 1])).sum() / shares.sum()
            torch.testing.assert_close(anchor, expected)
    assert {name for name, _ in lecam.named_buffers()} == {"real", "fake"}


def test_anchors_stay_while_terms_are_computed_and_begin_after_the_first_update() -> None:
    lecam = LeCam()
    assert lecam.discriminator(scored([1.0], [2.0], updates=0)) is None
    lecam.after_discriminator_step(scored([1.0], [2.0], updates=0))
    term = lecam.discriminator(scored([5.0], [7.0]))
    assert term is not None
    assert term.item() == pytest.approx(0.3 * (9 + 36))
    assert (lecam.real.item(), lecam.fake.item()) == (1, 2)


def test_lecam_follows_the_mean_over_all_devices() -> None:
    lecam, round = LeCam(), scored([1.0, 3.0], [0.0, 0.0], updates=0)
    round.all_reduce_mean = lambda mean: mean + 10
    lecam.after_discriminator_step(round)
    assert (lecam.real.item(), lecam.fake.item()) == (12, 10)


def test_micro_batches_are_one_update() -> None:
    whole, pieces = (
        tiny_gan({"adversarial": NonSaturating(), "lecam": LeCam()}, micro_batches=count) for count in (1, 3)
    )
    play(whole)
    play(pieces)
    torch.testing.assert_close(weights(pieces.discriminator), weights(whole.discriminator), rtol=1e-4, atol=1e-6)
    for name, anchor in nn.ModuleDict(whole.objectives).state_dict().items():
        torch.testing.assert_close(nn.ModuleDict(pieces.objectives).state_dict()[name], anchor, rtol=1e-4, atol=1e-6)
        assert anchor != 0


class Corner(nn.Module):
    """The score is the value of the top left pixel; it records its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.inputs: list[Tensor] = []

    def forward(self, samples: Tensor) -> Tensor:
        self.inputs.append(samples)
        return self.weight * samples[:, 0, 0, 0]


def pictures(count: int, discriminator: nn.Module | None = None) -> Round:
    """Images of 6 by 7 pixels with 2 channels, whose every value is another; all images alike."""
    image = torch.arange(2 * 6 * 7.0).view(2, 6, 7)
    real = image.expand(count, -1, -1, -1).clone()
    return Round(nn.Identity(), discriminator or Corner(), Latent(torch.zeros(count, 1)), real, torch.zeros_like(real))


def moved(image: Tensor, down: int, across: int, flip: bool) -> Tensor:
    """`image` looked at from `down` and `across` further on, its border repeated, by padding and cutting."""
    padded = nn.functional.pad(image[None], (2, 2, 2, 2), mode="replicate")[0]
    cut = padded[:, 2 + down : 8 + down, 2 + across : 9 + across]
    return cut.flip(2) if flip else cut


@pytest.mark.parametrize("flip", [False, True])
def test_each_image_is_shifted_and_mirrored_by_its_own_draw(flip: bool) -> None:
    round = pictures(500)
    transformed = Consistency(shift=2, flip=flip).transform(round)
    image = round.real[0]
    ways = [(d, a, f) for d in range(-2, 3) for a in range(-2, 3) for f in ((False, True) if flip else (False,))]
    found = [way for picture in transformed for way in ways if torch.equal(picture, moved(image, *way))]
    assert len(found) == 500  # each is one of them, and no two of them are alike
    counts = torch.tensor([found.count(way) for way in ways])
    expected = 500 / len(ways)
    assert (counts - expected).square().sum() / expected < 100  # chi-squared of 24 or 49 degrees of freedom


def test_consistency_is_the_squared_change_of_the_score() -> None:
    corner = Corner()
    round = pictures(64, corner)
    term = Consistency(weight=3.0, shift=1).discriminator(round)
    plain, transformed = (samples[:, 0, 0, 0] for samples in corner.inputs[::-1])
    assert (plain != transformed).any()
    torch.testing.assert_close(term, 3 * (plain - transformed).square().mean())
    term.backward()
    # Scores are w times a value: d term / dw = 2 term / w, with gradient through both.
    torch.testing.assert_close(corner.weight.grad, 2 * term.detach())
    assert Consistency().generator(round) is None


def test_consistency_reuses_the_pass_of_the_adversarial_loss() -> None:
    corner = Corner()
    round = pictures(4, corner)
    assert round.real_logits.shape == (4,)
    Consistency().discriminator(round)
    assert len(corner.inputs) == 2


def test_a_score_that_no_shift_changes_costs_nothing() -> None:
    brightest = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(2, 1), nn.Flatten(0))
    round = pictures(8, brightest)
    round.real = torch.zeros_like(round.real)
    round.real[:, :, 3, 3] = 1
    assert Consistency(shift=2, flip=True).discriminator(round).item() == 0


def test_consistency_is_for_images() -> None:
    with pytest.raises(ValueError, match=r"samples of this data have shape \[2\]: choose image data"):
        play(tiny_gan({"adversarial": NonSaturating(), "consistency": Consistency()}))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LeCam(weight=-1.0), r"loss\.objectives\.lecam\.weight must be at least 0"),
        (lambda: LeCam(decay=1.0), r"loss\.objectives\.lecam\.decay must be in \[0, 1\), not 1"),
        (lambda: Consistency(weight=-1.0), r"loss\.objectives\.consistency\.weight must be at least 0"),
        (lambda: Consistency(shift=-1), r"loss\.objectives\.consistency\.shift must be at least 1 pixel"),
        (lambda: Consistency(shift=0), r"loss\.objectives\.consistency\.shift must be at least 1 pixel"),
    ],
)
def test_bad_settings_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
    Consistency(shift=0, flip=True)
