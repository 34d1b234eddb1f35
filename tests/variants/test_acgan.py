"""ACGAN's term, against cross-entropies by hand, and who receives its gradient."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.tiny_gan import TinyDiscriminator, TinyGenerator
from torch import Tensor, nn

from gan_lightning.game import DiscriminatorOutput, Latent, Round, discriminate, takes_labels
from gan_lightning.schedules import frozen
from gan_lightning.variants.acgan import AuxiliaryClassifier, ClassHead, ClassOutput
from gan_lightning.wrappers.base import Wrapper

REAL = [[1.0, 2.0, 0.0], [0.0, -1.0, 3.0]]
FAKE = [[0.5, 0.0, 1.5], [2.0, 1.0, 0.0]]
LABELS, ASKED = [1, 0], [2, 0]


class Telling(nn.Module):
    """Tells as logits of classes what it is shown."""

    def forward(self, samples: Tensor) -> ClassOutput:
        return ClassOutput(samples.sum(1), class_logits=samples)


def labelled_round(labels: bool = True) -> Round:
    latent = Latent(torch.zeros(2, 1), labels=torch.tensor(ASKED) if labels else None)
    real, fake = torch.tensor(REAL), torch.tensor(FAKE).requires_grad_()
    return Round(nn.Identity(), Telling(), latent, real, fake, torch.tensor(LABELS) if labels else None)


def by_hand(logits: list[list[float]], labels: list[int]) -> float:
    """Mean of -log softmax at the labels."""
    values = [math.log(sum(map(math.exp, row))) - row[label] for row, label in zip(logits, labels, strict=True)]
    return sum(values) / len(values)


def test_the_terms_by_hand() -> None:
    real, fake = by_hand(REAL, LABELS), by_hand(FAKE, ASKED)
    assert AuxiliaryClassifier().discriminator(labelled_round()).item() == pytest.approx(real + fake)
    assert AuxiliaryClassifier().generator(labelled_round()).item() == pytest.approx(fake)
    weighted = AuxiliaryClassifier(weight=3.0, fake_weight=0.5)
    assert weighted.discriminator(labelled_round()).item() == pytest.approx(3 * (real + fake / 2))
    assert weighted.generator(labelled_round()).item() == pytest.approx(3 * fake)


def test_fakes_are_drawn_to_their_conditioning_label() -> None:
    round = labelled_round()
    (slope,) = torch.autograd.grad(AuxiliaryClassifier().generator(round), round.fake)
    expected = (torch.tensor(FAKE).softmax(dim=1) - torch.eye(3)[ASKED]) / 2
    torch.testing.assert_close(slope, expected)


def players() -> tuple[TinyGenerator, ClassHead]:
    torch.manual_seed(0)
    return TinyGenerator(), ClassHead(TinyDiscriminator(), (2,), num_classes=3)


def test_the_generators_turn_reaches_the_generator_through_the_frozen_discriminator() -> None:
    generator, discriminator = players()
    latent = Latent(torch.randn(6, 3), labels=torch.arange(6) % 3)
    with frozen(list(discriminator.parameters())):
        round = Round(generator, discriminator, latent, torch.randn(6, 2), generator(latent))
        AuxiliaryClassifier().generator(round).backward()
    assert all(weight.grad is None for weight in discriminator.parameters())

    layers, head = discriminator.get_submodule("network.network.layers"), discriminator.classify
    chances = head(layers(generator(latent))).softmax(dim=1)[torch.arange(6), torch.arange(6) % 3]
    expected = torch.autograd.grad(-chances.log().mean(), list(generator.parameters()))
    for weight, gradient in zip(generator.parameters(), expected, strict=True):
        assert weight.grad is not None
        assert gradient.any()
        torch.testing.assert_close(weight.grad, gradient)


@pytest.mark.parametrize("fake_weight", [0.0, 1.0])
def test_the_discriminators_turn_trains_head_and_features_and_not_the_score(fake_weight: float) -> None:
    generator, discriminator = players()
    latent = Latent(torch.randn(6, 3), labels=torch.arange(6) % 3)
    fake = generator(latent).detach().requires_grad_()
    round = Round(generator, discriminator, latent, torch.randn(6, 2), fake, torch.arange(6) % 3)
    AuxiliaryClassifier(fake_weight=fake_weight).discriminator(round).backward()
    for name, weight in discriminator.named_parameters():
        assert (weight.grad is None) == ("score" in name)
        assert weight.grad is None or weight.grad.any()
    assert all(weight.grad is None for weight in generator.parameters())
    assert fake.grad is not None
    assert bool(fake.grad.any()) == (fake_weight > 0)


def test_the_discriminator_does_not_get_the_class_it_predicts() -> None:
    _, discriminator = players()
    assert not takes_labels(discriminator)
    samples = torch.randn(4, 2)
    first, second = (discriminate(discriminator, samples, torch.full((4,), label)) for label in (0, 2))
    assert isinstance(first, ClassOutput)
    assert isinstance(second, ClassOutput)
    assert torch.equal(first.class_logits, second.class_logits)


class Maps(nn.Module):
    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        return DiscriminatorOutput(samples.sum((1, 2, 3)), samples)


def test_the_head_knows_what_stands_where() -> None:
    head = ClassHead(Maps(), (1, 2, 2), num_classes=3)
    maps = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]).view(2, 1, 2, 2)
    output = head(maps)
    torch.testing.assert_close(output.class_logits, (maps.flatten(1) @ head.classify.weight.T) + head.classify.bias)
    assert not torch.allclose(output.class_logits[0], output.class_logits[1])


def test_what_the_network_within_says_is_kept_and_so_is_the_class_by_wrappers_around() -> None:
    _, discriminator = players()
    samples = torch.randn(4, 2)
    output = discriminate(Wrapper(discriminator), samples)
    within = discriminate(discriminator.network, samples)
    assert isinstance(output, ClassOutput)
    assert output.class_logits.shape == (4, 3)
    assert torch.equal(output.logits, within.logits)
    assert output.features is not None
    assert within.features is not None
    assert torch.equal(output.features, within.features)


def test_under_autocast_the_loss_is_in_float32() -> None:
    generator, discriminator = players()
    latent = Latent(torch.randn(6, 3), labels=torch.arange(6) % 3)
    with torch.autocast("cpu", torch.bfloat16):
        round = Round(generator, discriminator, latent, torch.randn(6, 2), generator(latent), torch.arange(6) % 3)
        assert round.fake.dtype == torch.bfloat16
        assert AuxiliaryClassifier().discriminator(round).dtype == torch.float32
        assert AuxiliaryClassifier().generator(round).dtype == torch.float32


def test_a_discriminator_that_tells_no_class_is_refused_with_the_way_out() -> None:
    generator, discriminator = players()
    latent = Latent(torch.randn(2, 3), labels=torch.tensor(ASKED))
    round = Round(generator, discriminator.network, latent, torch.randn(2, 2), generator(latent), torch.tensor(LABELS))
    for side in (AuxiliaryClassifier().discriminator, AuxiliaryClassifier().generator):
        with pytest.raises(ValueError, match="acgan needs a discriminator that classifies: choose variant=acgan"):
            side(round)


def test_samples_without_a_class_are_refused_with_the_way_out() -> None:
    for side in (AuxiliaryClassifier().discriminator, AuxiliaryClassifier().generator):
        with pytest.raises(ValueError, match="acgan needs the class of each sample: .* data=mnist10k.* variant=acgan"):
            side(labelled_round(labels=False))


def test_data_without_classes_and_networks_without_features_are_refused_with_the_way_out() -> None:
    with pytest.raises(
        ValueError, match="where the data have no classes: choose data with classes, such as data=mnist10k"
    ):
        ClassHead(TinyDiscriminator(), (2,), num_classes=None)
    bare = nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))
    with pytest.raises(ValueError, match="returns no features, which a head reads: .* such as model=dcgan"):
        ClassHead(bare, (2,), num_classes=3)


@pytest.mark.parametrize("weights", [(-1.0, 1.0), (1.0, -1.0), (math.nan, 1.0), (1.0, math.nan)])
def test_bad_weights_are_refused(weights: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"loss\.objectives\.acgan\.weight and fake_weight must be at least 0"):
        AuxiliaryClassifier(*weights)
