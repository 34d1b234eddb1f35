"""The class as further channels, against a linear critic whose slopes are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gan_lightning.game import DiscriminatorOutput, Latent, Round, discriminate
from gan_lightning.regularizers.gradient_penalties import R1, R2, GradientPenalty
from gan_lightning.variants.cgan import ClassChannels
from gan_lightning.wrappers.base import Wrapper


class Shown(nn.Module):
    """Its features are what it was shown."""

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        return DiscriminatorOutput(samples.flatten(1).sum(1), samples)


class Linear(nn.Module):
    """A critic of three values and two classes whose slope is 5 in the values, and larger in the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([3.0, 0.0, 4.0, 60.0, -70.0]))

    def forward(self, samples: Tensor) -> Tensor:
        return samples @ self.weight


LABELS = torch.tensor([1, 0])


def seen(samples: Tensor, num_classes: int = 3) -> Tensor:
    features = discriminate(ClassChannels(Shown(), num_classes), samples, LABELS).features
    assert features is not None
    return features


def test_the_class_stands_behind_an_image_as_constant_maps() -> None:
    images = torch.randn(2, 2, 4, 5)
    found = seen(images)
    assert found.shape == (2, 5, 4, 5)
    assert torch.equal(found[:, :2], images)
    for sample, label in enumerate((1, 0)):
        for channel in range(3):
            assert (found[sample, 2 + channel] == (1.0 if channel == label else 0.0)).all()


def test_the_class_stands_behind_a_vector_as_numbers() -> None:
    vectors = torch.tensor([[5.0, 6.0], [7.0, 8.0]])
    assert seen(vectors).tolist() == [[5, 6, 0, 1, 0], [7, 8, 1, 0, 0]]


def test_the_class_comes_in_the_precision_of_the_samples() -> None:
    assert seen(torch.zeros(2, 1, 4, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16


def linear_round() -> Round:
    generator = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(2, 3, generator=generator).requires_grad_() for _ in range(2))
    latent = Latent(torch.zeros(2, 1), labels=torch.tensor([0, 0]))
    return Round(nn.Identity(), ClassChannels(Linear(), 2), latent, real, fake, LABELS)


def test_data_are_scored_with_their_class_and_fakes_with_their_label() -> None:
    round = linear_round()
    values = torch.tensor([3.0, 0.0, 4.0])
    torch.testing.assert_close(round.real_logits, round.real @ values + torch.tensor([-70.0, 60.0]))
    torch.testing.assert_close(round.fake_logits, round.fake @ values + torch.tensor([60.0, 60.0]))


def test_penalties_are_on_the_slope_in_the_sample_and_not_in_the_class() -> None:
    round = linear_round()
    assert R1(gamma=2.0).penalty(round).item() == pytest.approx(25)
    assert R2(gamma=2.0).penalty(round).item() == pytest.approx(25)
    assert GradientPenalty(weight=10.0).penalty(round).item() == pytest.approx(10 * (5 - 1) ** 2)


def test_wrappers_around_it_hand_the_class_on() -> None:
    samples = torch.ones(2, 3)
    conditional = ClassChannels(Linear(), 2)
    assert torch.equal(
        discriminate(Wrapper(conditional), samples, LABELS).logits, discriminate(conditional, samples, LABELS).logits
    )


def test_samples_without_a_class_are_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"choose data with classes, such as data=mnist10k, and a prior"):
        discriminate(ClassChannels(Linear(), 2), torch.ones(2, 3))


@pytest.mark.parametrize("num_classes", [None, 0])
def test_data_without_classes_are_refused_with_the_way_out(num_classes: int | None) -> None:
    with pytest.raises(
        ValueError, match="where the data have no classes: choose data with classes, such as data=mnist10k"
    ):
        ClassChannels(Linear(), num_classes)
