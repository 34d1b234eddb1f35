from __future__ import annotations

import pytest
import torch
from helpers.tiny_gan import play, tiny_gan
from torch import Tensor, nn

from gan_lightning.data import toys
from gan_lightning.data.mnist import Mnist10k
from gan_lightning.diagnostics.probe import (
    batch_for,
    distance_within,
    diversity,
    inside,
    probe,
    spread_samples,
)
from gan_lightning.game import Objective, Round
from gan_lightning.gan import GAN
from gan_lightning.losses.adversarial import Minimax, NonSaturating, Wasserstein
from gan_lightning.variants.pacgan import PackedDiscriminator
from gan_lightning.wrappers.base import Wrapper


class Linear(nn.Module):
    """D(x) = w x + b."""

    def __init__(self, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0, -1.0]))
        self.bias = bias

    def forward(self, samples: Tensor) -> Tensor:
        return samples @ self.weight + self.bias


def game(objective: Objective, discriminator: nn.Module) -> GAN:
    """One that has been played for a turn with a rate of 0, so that it is as it was."""
    gan = tiny_gan({"adversarial": objective}, optimizer=lambda weights: torch.optim.SGD(weights, lr=0.0))
    gan.discriminator = discriminator
    play(gan)
    return gan


def samples(count: int = 16) -> Tensor:
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(1)) * 2 + 3


def fakes(gan: GAN, count: int = 16) -> Tensor:
    with torch.no_grad():
        return gan.generator(gan.fixed_latents(count, "health"))


def slope(logit: Tensor, objective: Objective) -> Tensor:
    """|dL/dlogit| of one fake, by hand."""
    match objective:
        case Minimax():  # log(1 - sigmoid(logit))
            return logit.sigmoid()
        case NonSaturating():  # -log sigmoid(logit)
            return 1 - logit.sigmoid()
        case _:  # -logit
            return torch.ones_like(logit)


@pytest.mark.parametrize("objective", [NonSaturating(), Minimax(), Wasserstein()])
@pytest.mark.parametrize("bias", [0.0, -12.0])
def test_what_a_linear_discriminator_leaves_to_the_generator(objective: Objective, bias: float):
    gan, real = game(objective, Linear(bias)), samples()
    fake, weight = fakes(gan), torch.tensor([2.0, -1.0])
    of_real, of_fake = real @ weight + bias, fake @ weight + bias
    way = torch.stack([(one - other).norm() for one in real for other in fake]).mean()
    promised = slope(of_fake, objective).mean() * weight.norm() * way
    found = probe(gan, (real, None), None).scores
    assert found.relative_slope == pytest.approx((promised / (of_real.mean() - of_fake.mean()).abs()).item(), rel=1e-4)
    every = torch.cat([of_real, of_fake])
    assert found.spread == pytest.approx(every.std(correction=0).item(), rel=1e-4)
    assert found.level == pytest.approx(every.abs().mean().item(), rel=1e-4)
    higher = sum((a > b).item() for a in of_real for b in of_fake)
    assert found.separation == pytest.approx(higher / 16**2)


def test_scores_are_of_the_discriminator_that_training_plays_against():
    """With batch norm, data and fakes are each normalised by themselves; nothing is left behind."""
    gan = tiny_gan({"adversarial": NonSaturating()}, batch_norm=True, optimizer=lambda w: torch.optim.SGD(w, lr=0.0))
    gan.discriminator = nn.Sequential(nn.BatchNorm1d(2, affine=False), Linear())
    play(gan)
    before = {name: value.clone() for name, value in gan.state_dict().items()}
    state, real = torch.get_rng_state(), samples()
    found = probe(gan, (real, None), None).scores
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in gan.state_dict().items())
    with torch.no_grad():
        fake = gan.generator.train()(gan.fixed_latents(16, "health"))
        logits = [
            ((part - part.mean(dim=0)) / (part.var(dim=0, correction=0) + 1e-5).sqrt()) @ torch.tensor([2.0, -1.0])
            for part in (real, fake)
        ]
    assert found.spread == pytest.approx(torch.cat(logits).std(correction=0).item(), rel=1e-4)
    higher = sum((a > b).item() for a in logits[0] for b in logits[1])
    assert found.separation == pytest.approx(higher / 16**2)


class Untouched(Objective):
    """The generator's loss does not depend on the fakes, but on its weights."""

    def discriminator(self, round: Round) -> Tensor:
        return round.fake_logits.mean()

    def generator(self, round: Round) -> Tensor:
        return next(round.generator.parameters()).square().mean()


def test_where_the_loss_does_not_depend_on_fakes_there_is_no_reach():
    assert probe(game(Untouched(), Linear()), (samples(), None), None).scores.relative_slope is None


def test_diversity_is_a_ratio_of_distances():
    real = samples()
    assert diversity(real, 0.25 * real - 7) == pytest.approx(0.25)
    assert diversity(real, torch.ones_like(real)) == 0
    assert diversity(torch.ones_like(real), real) is None
    assert diversity(real[:7], real[:7]) is None


def test_what_is_inside_a_range():
    values = torch.tensor([[0.0, 0.004, 0.006], [0.5, 0.9955, 1.0]])  # the ends begin .005 from 0 and from 1
    assert inside(values, (0, 1)) == pytest.approx(2 / 6)
    assert inside(2 * values - 1, (-1, 1)) == pytest.approx(2 / 6)


def test_distances_are_those_of_pairs():
    values = samples(9)
    pairs = [(values[i] - values[j]).norm() for i in range(9) for j in range(i)]
    assert distance_within(values) == pytest.approx(torch.stack(pairs).mean().item())
    assert distance_within(torch.full((40, 3), 1000.1)) == 0  # also beyond 25, where products would be used


def test_packs_are_whole():
    network = nn.Linear(1, 1)
    assert batch_for(network, 32) == 32
    assert batch_for(network, 1) == 0
    assert batch_for(Wrapper(PackedDiscriminator(network, 3)), 32) == 30
    assert batch_for(PackedDiscriminator(PackedDiscriminator(network, 4), 2), 17) == 16
    assert batch_for(PackedDiscriminator(PackedDiscriminator(network, 4), 2), 15) == 0


def test_samples_are_spread_over_all_data():
    data = Mnist10k(shape=[1, 28, 28], num_classes=10, value_range=[-1, 1], batch_size=8, seed=0)
    size = data.reference_size
    pixels, labels = next(data.labelled_reference_batches("cpu", batch_size=size))
    rows = [0, size // 3, 2 * size // 3]
    found, classes = spread_samples(data, torch.device("cpu"), 3)
    assert torch.equal(found, pixels[rows])
    assert labels is not None and classes is not None and torch.equal(classes, labels[rows])


def test_of_few_data_all_are_taken():
    few = toys.gaussian(0.0, 1.0, shape=[1], batch_size=8, seed=0, reference_size=5)
    found, classes = spread_samples(few, torch.device("cpu"), 8)
    assert torch.equal(found, torch.cat(list(few.reference_batches("cpu")))) and classes is None
