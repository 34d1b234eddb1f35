"""InfoGAN's head and term, against scipy's densities, closed forms and autograd."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from helpers.tiny_gan import TinyDiscriminator, TinyGenerator, play
from scipy import special, stats
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gan_lightning.callbacks.scalars import HasScalars
from gan_lightning.ema import Averaging
from gan_lightning.game import Latent, Round, discriminate, takes_labels
from gan_lightning.gan import GAN
from gan_lightning.losses.adversarial import NonSaturating
from gan_lightning.priors import Gaussian
from gan_lightning.randomness import generator_for
from gan_lightning.schedules import frozen
from gan_lightning.variants.infogan import (
    SMALLEST_STD,
    CodeHead,
    CodeOutput,
    InfoGANLatent,
    InfoGANPrior,
    MutualInformation,
)

SGD = partial(torch.optim.SGD, lr=0.1)


def prior(categories: int = 4, continuous: int = 2) -> InfoGANPrior:
    """Noise of length 3, and codes."""
    return InfoGANPrior(3 + categories + continuous, Gaussian(3), categories, continuous)


def labels_of(latent: Latent) -> Tensor:
    assert latent.labels is not None
    return latent.labels


# The head


def head(categories: int = 4, continuous: int = 2) -> CodeHead:
    torch.manual_seed(0)
    return CodeHead(TinyDiscriminator(), (2,), categories, continuous, width=6)


def test_the_head_says_all_that_the_network_does_and_reads_codes() -> None:
    samples = torch.randn(8, 2)
    output, within = discriminate(head(), samples), discriminate(head().network, samples)
    assert isinstance(output, CodeOutput)
    assert torch.equal(output.logits, within.logits)
    assert output.category_logits.shape == (8, 4)
    assert output.code_mean.shape == output.code_log_std.shape == (8, 2)


@pytest.mark.parametrize("push", [-1e4, 1e4])
def test_the_spread_of_the_posterior_has_a_floor_and_the_term_stays_finite(push: float) -> None:
    discriminator, latent = head(), prior().sample(8, generator_for(0, "test"))
    last = discriminator.read[-1]
    assert isinstance(last, nn.Linear)
    nn.init.constant_(last.bias[-2:], push)
    round = Round(nn.Identity(), discriminator, latent, torch.randn(8, 2), torch.randn(8, 2))
    assert isinstance(round.fake_output, CodeOutput)
    assert (round.fake_output.code_log_std >= math.log(SMALLEST_STD) - 1e-6).all()
    MutualInformation().discriminator(round).backward()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in discriminator.parameters())


def test_the_discriminator_is_not_conditioned_on_the_category() -> None:
    assert not takes_labels(head())


def test_a_network_without_features_and_a_head_without_units_are_refused() -> None:
    bare = nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))
    with pytest.raises(ValueError, match="returns no features, which a head reads: .* such as model=dcgan"):
        CodeHead(bare, (2,), 4, 2)
    with pytest.raises(ValueError, match=r"wrappers\.infogan\.width must be a whole number of at least 1, not 0"):
        CodeHead(TinyDiscriminator(), (2,), 4, 2, width=0)


# The term


class Reading(nn.Module):
    """Says of any samples what it was given to say."""

    def __init__(self, output: CodeOutput) -> None:
        super().__init__()
        self.output = output

    def forward(self, samples: Tensor) -> CodeOutput:
        return self.output


def read(latent: InfoGANLatent, category_logits: Tensor, mean: Tensor, std: Tensor) -> Round:
    count = len(latent)
    said = CodeOutput(torch.zeros(count), category_logits=category_logits, code_mean=mean, code_log_std=std.log())
    return Round(nn.Identity(), Reading(said), latent, torch.zeros(count, 1), torch.zeros(count, 1))


def test_the_term_is_minus_the_log_likelihood_that_scipy_gives() -> None:
    latent = prior().sample(7, generator_for(0, "test"))
    logits, mean, std = torch.randn(7, 4), torch.randn(7, 2), torch.rand(7, 2) + 0.2
    round = read(latent, logits, mean, std)
    category = -special.log_softmax(logits.numpy(), axis=1)[range(7), labels_of(latent)].mean()
    codes = -stats.norm.logpdf(latent.codes.numpy(), mean.numpy(), std.numpy()).sum(axis=1).mean()
    for side in (MutualInformation().discriminator, MutualInformation().generator):
        assert side(round).item() == pytest.approx(category + 0.1 * codes, rel=1e-5)
    weighted = MutualInformation(category_weight=0.5, code_weight=2.0).generator(round)
    assert weighted.item() == pytest.approx(0.5 * category + 2 * codes, rel=1e-5)


def players() -> tuple[nn.Module, CodeHead, InfoGANLatent]:
    torch.manual_seed(0)
    generator = TinyGenerator()
    generator.layers[0] = nn.Linear(9, 5)
    return generator, head(), prior().sample(8, generator_for(0, "test"))


def test_the_generators_turn_reaches_the_generator_through_the_frozen_discriminator() -> None:
    generator, discriminator, latent = players()
    with frozen(list(discriminator.parameters())):
        round = Round(generator, discriminator, latent, torch.randn(8, 2), generator(latent))
        MutualInformation(category_weight=1.0, code_weight=0.1).generator(round).backward()
    assert all(weight.grad is None for weight in discriminator.parameters())

    read = discriminator.read(discriminator.get_submodule("network.network.layers")(generator(latent)))
    chances = read[:, :4].softmax(dim=1)[torch.arange(8), labels_of(latent)]
    std = torch.log1p(read[:, 6:].exp()) + 0.3
    square = ((latent.codes - read[:, 4:6]) / std).square()
    codes = (square / 2 + std.log() + math.log(2 * math.pi) / 2).sum(dim=1)
    expected = torch.autograd.grad((-chances.log() + 0.1 * codes).mean(), list(generator.parameters()))
    for weight, gradient in zip(generator.parameters(), expected, strict=True):
        assert weight.grad is not None
        assert gradient.abs().max() > 1e-4
        torch.testing.assert_close(weight.grad, gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0)])
def test_either_part_alone_moves_the_generator(weights: tuple[float, float]) -> None:
    generator, discriminator, latent = players()
    round = Round(generator, discriminator, latent, torch.randn(8, 2), generator(latent))
    MutualInformation(*weights).generator(round).backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in generator.parameters())


def test_the_discriminators_turn_trains_head_and_features_on_fakes_alone() -> None:
    generator, discriminator, latent = players()
    fake, real = generator(latent).detach(), torch.randn(8, 2, requires_grad=True)
    round = Round(generator, discriminator, latent, real, fake)
    MutualInformation().discriminator(round).backward()
    for name, weight in discriminator.named_parameters():
        assert (weight.grad is None) == ("score" in name)
        assert weight.grad is None or weight.grad.any()
    assert real.grad is None
    assert all(weight.grad is None for weight in generator.parameters())


def test_under_autocast_the_term_is_in_float32() -> None:
    generator, discriminator, latent = players()
    with torch.autocast("cpu", torch.bfloat16):
        round = Round(generator, discriminator, latent, torch.randn(8, 2), generator(latent))
        assert round.fake.dtype == torch.bfloat16
        assert MutualInformation().generator(round).dtype == torch.float32


# What the log says


def noted(latent: InfoGANLatent, category_logits: Tensor, mean: Tensor, std: Tensor) -> dict[str, float]:
    objective = MutualInformation()
    assert isinstance(objective, HasScalars)
    objective.after_discriminator_step(read(latent, category_logits, mean, std))
    return {name: value.item() for name, value in objective.scalars().items()}


def test_a_reader_that_knows_nothing_notes_no_information() -> None:
    latent = prior().sample(100_000, generator_for(0, "test"))
    nothing = torch.zeros(100_000, 2)
    readings = noted(latent, torch.zeros(100_000, 4), nothing, torch.full_like(nothing, 3**-0.5))
    assert readings["category_nats"] == pytest.approx(0, abs=1e-5)
    # The best Gaussian falls short of the uniform by its Kullback-Leibler divergence, 1/2 log(2 pi e / 12) a code.
    assert readings["code_nats"] == pytest.approx(-math.log(2 * math.pi * math.e / 12), abs=0.01)


def test_a_reader_that_knows_everything_notes_the_entropy_of_the_category() -> None:
    latent = prior().sample(100, generator_for(0, "test"))
    readings = noted(latent, 50.0 * one_hot(labels_of(latent), 4), latent.codes, torch.full((100, 2), 0.1))
    assert readings["category_nats"] == pytest.approx(math.log(4))
    # At its mean a Gaussian has log density -log(std sqrt(2 pi)); the uniform has -log 2.
    assert readings["code_nats"] == pytest.approx(2 * (math.log(2) - math.log(0.1 * math.sqrt(2 * math.pi))))


def game(micro_batches: int) -> GAN:
    generator, discriminator, _ = players()
    return GAN(
        generator,
        discriminator,
        prior(),
        {"adversarial": NonSaturating(), "infogan": MutualInformation()},
        generator_optimizer=SGD,
        discriminator_optimizer=SGD,
        averaging=Averaging(20),
        max_iterations=2,
        micro_batches=micro_batches,
    )


def test_micro_batches_play_the_same_game_and_note_the_same_information() -> None:
    whole, pieces = game(1), game(micro_batches=4)
    for gan in (whole, pieces):
        play(gan, size=8)
    state = pieces.state_dict()
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-5)
    assert state["objectives.infogan.category_nats"].item() != 0
    assert state["objectives.infogan.code_nats"].item() != 0


# What is refused


def test_games_without_codes_are_refused_with_the_way_out() -> None:
    generator, discriminator, latent = players()
    samples = torch.randn(8, 2)
    uncoded = Round(generator, discriminator, Latent(latent.z, labels=latent.labels), samples, samples)
    headless = Round(generator, TinyDiscriminator(), latent, samples, samples)
    for side in (MutualInformation().discriminator, MutualInformation().generator):
        with pytest.raises(ValueError, match="infogan needs a prior that draws codes: choose variant=infogan"):
            side(uncoded)
        with pytest.raises(ValueError, match="infogan needs a discriminator that reads codes: choose variant=infogan"):
            side(headless)


@pytest.mark.parametrize("weights", [(-1.0, 1.0), (1.0, -1.0), (math.nan, 1.0), (1.0, math.nan)])
def test_bad_weights_are_refused(weights: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"loss\.objectives\.infogan\.category_weight and code_weight must be"):
        MutualInformation(*weights)
