"""The projection discriminator, against loops and known singular values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from gan_lightning.game import DiscriminatorOutput, discriminate
from gan_lightning.models.dcgan import DCGANDiscriminator
from gan_lightning.variants.projection import Projection

LABELS = torch.tensor([2, 0, 2, 1])


@dataclass
class Marked(DiscriminatorOutput):
    mark: Tensor | None = None


class Maps(nn.Module):
    """Features are the samples times a weight, in maps of two channels; the score is 10."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        return Marked(torch.full((len(samples),), 10.0), self.weight * samples, mark=samples)


def maps(seed: int = 0) -> Tensor:
    return torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(seed))


def projection(spectral_norm: bool = False) -> Projection:
    torch.manual_seed(0)
    return Projection(Maps(), (2, 3, 3), num_classes=3, spectral_norm=spectral_norm)


def test_the_class_adds_its_vector_times_the_features() -> None:
    discriminator, samples = projection(), maps()
    vectors = discriminator.embed.weight.unflatten(1, (2, 3, 3)).tolist()
    expected = []
    for sample, label in zip(samples.tolist(), LABELS.tolist(), strict=True):
        places = list(product(range(2), range(3), range(3)))
        inner = sum(
            vectors[label][channel][row][column] * 2 * sample[channel][row][column] for channel, row, column in places
        )
        expected.append(10 + inner)
    assert discriminate(discriminator, samples, LABELS).logits.tolist() == pytest.approx(expected, rel=1e-4)


def test_without_the_vectors_it_is_the_network_within() -> None:
    within = DCGANDiscriminator((1, 28, 28), width=4)
    discriminator = Projection(within, (1, 28, 28), num_classes=3).eval()
    nn.init.zeros_(discriminator.embed.weight)
    images = torch.randn(4, 1, 28, 28)
    assert torch.equal(discriminate(discriminator, images, LABELS).logits, discriminate(within, images).logits)


def test_each_vector_learns_from_the_samples_of_its_class_and_the_features_from_the_vectors() -> None:
    discriminator, samples = projection(), maps()
    discriminate(discriminator, samples, LABELS).logits.sum().backward()
    gradient = discriminator.embed.weight.grad
    assert gradient is not None
    for label in range(3):
        torch.testing.assert_close(gradient[label], 2 * samples[label == LABELS].sum(0).flatten())
    weight = discriminator.network.weight
    assert isinstance(weight, Tensor)
    assert weight.grad is not None
    by_hand = (discriminator.embed.weight[LABELS] * samples.flatten(1)).sum()
    torch.testing.assert_close(weight.grad, by_hand.detach())


def test_the_slope_at_a_sample_is_the_vector_of_its_class() -> None:
    discriminator, samples = projection(), maps().requires_grad_()
    (slope,) = torch.autograd.grad(discriminate(discriminator, samples, LABELS).logits.sum(), samples)
    expected = 2 * discriminator.embed.weight.detach()[LABELS].unflatten(1, (2, 3, 3))
    torch.testing.assert_close(slope, expected)


def test_spectral_norm_divides_by_the_largest_singular_value() -> None:
    discriminator = projection(spectral_norm=True)
    for _ in range(50):
        discriminator(maps(), LABELS)
    assert torch.linalg.svdvals(discriminator.embed.weight)[0].item() == pytest.approx(1, abs=1e-4)
    assert torch.linalg.svdvals(projection().embed.weight)[0].item() < 0.5


def test_what_else_the_network_says_is_kept() -> None:
    samples = maps()
    output = discriminate(projection(), samples, LABELS)
    assert isinstance(output, Marked)
    assert output.mark is samples
    assert output.features is not None
    assert output.features.shape == samples.shape


class Rounded(Maps):
    """What `Maps` says, in half precision, as under autocast."""

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        output = super().forward(samples)
        assert output.features is not None
        return replace(output, features=output.features.bfloat16())


def test_half_precision_features_are_summed_in_float32() -> None:
    discriminator, samples = projection(), maps().bfloat16().float()
    nn.init.normal_(discriminator.embed.weight)
    expected = discriminate(discriminator, samples, LABELS).logits
    discriminator.network = Rounded()
    found = discriminate(discriminator, samples, LABELS).logits
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_samples_without_a_class_are_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"choose data with classes, such as data=mnist10k, and a prior"):
        discriminate(projection(), maps())


def test_data_without_classes_and_networks_without_features_are_refused_with_the_way_out() -> None:
    with pytest.raises(
        ValueError, match="where the data have no classes: choose data with classes, such as data=mnist10k"
    ):
        Projection(Maps(), (2, 3, 3), num_classes=None)
    bare = nn.Sequential(nn.Flatten(), nn.Linear(18, 1), nn.Flatten(0))
    with pytest.raises(ValueError, match="returns no features, which a head reads: .* such as model=dcgan"):
        Projection(bare, (2, 3, 3), num_classes=3)
