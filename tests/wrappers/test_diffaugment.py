"""DiffAugment with known answers: each draw is read off what it does to an image made to show it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gan_lightning.game import DiscriminatorOutput, Latent, Round, discriminate
from gan_lightning.regularizers.gradient_penalties import R1
from gan_lightning.wrappers.diffaugment import POLICIES, DiffAugment, color, cutout, translation


class Seen(nn.Module):
    """Features are what it is shown; the score is half the square of it."""

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        return DiscriminatorOutput(samples.flatten(1).square().sum(1) / 2, samples)


def augmented(images: Tensor, *policies: str) -> Tensor:
    features = discriminate(DiffAugment(Seen(), policies), images).features
    assert features is not None
    return features


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_translation_by_hand() -> None:
    """Each pixel holds its own place, from 1, so that one that is left tells the shift."""
    height, width = 16, 24
    places = torch.arange(1.0, height * width + 1).view(1, 1, height, width).repeat(500, 2, 1, 1)
    found = translation(places)
    shifts = set()
    for image in found[:, 0]:
        row, column = image.nonzero()[0].tolist()
        down, across = divmod(int(image[row, column]) - 1, width)
        down, across = row - down, column - across
        expected = torch.zeros(height, width)
        expected[max(down, 0) : height + min(down, 0), max(across, 0) : width + min(across, 0)] = places[
            0, 0, max(-down, 0) : height + min(-down, 0), max(-across, 0) : width + min(-across, 0)
        ]
        assert torch.equal(image, expected)
        shifts.add((down, across))
    assert torch.equal(found[:, 0], found[:, 1])  # channels stay together
    assert {down for down, _ in shifts} == set(range(-2, 3))  # an eighth of 16
    assert {across for _, across in shifts} == set(range(-3, 4))  # and of 24


@pytest.mark.parametrize(("size", "most"), [(28, 4), (32, 4), (20, 3), (11, 1), (12, 2)])
def test_an_eighth_is_rounded_to_whole_pixels(size: int, most: int) -> None:
    """4 of 28, as in the authors' code, where half a pixel is rounded up."""
    rows = torch.arange(1.0, size + 1).view(1, 1, size, 1).expand(2000, 1, size, size)
    middle = translation(rows)[:, 0, size // 2].amax(dim=1) - (size // 2 + 1)
    assert middle.unique().tolist() == list(range(-most, most + 1))


@pytest.mark.parametrize(("height", "width"), [(8, 12), (28, 28), (10, 7)])
def test_cutout_leaves_out_one_rectangle_that_may_hang_over_the_border(height: int, width: int) -> None:
    found = cutout(torch.ones(3000, 2, height, width))
    assert torch.equal(found[:, 0], found[:, 1])
    areas = (found[:, 0] == 0).sum((1, 2))
    for image, area in zip(found[:200, 0], areas.tolist(), strict=False):
        rows, columns = (image == 0).any(1).nonzero(), (image == 0).any(0).nonzero()
        assert len(rows) * len(columns) == area  # a rectangle
        assert rows.max() - rows.min() + 1 == len(rows)
        assert columns.max() - columns.min() + 1 == len(columns)
    assert areas.max() == ((height + 1) // 2) * ((width + 1) // 2)
    assert found.unique().tolist() == [0, 1]
    expected = torch.outer(chance_of_a_cut(height), chance_of_a_cut(width))
    torch.testing.assert_close((found[:, 0] == 0).float().mean(0), expected, atol=0.04, rtol=0)


def chance_of_a_cut(size: int) -> Tensor:
    """By the authors' code: a window of half the size, rounded up, about each place, and one further if it is even."""
    half = (size + 1) // 2
    counts = torch.zeros(size)
    middles = range(size + 1 - half % 2)
    for middle in middles:
        counts[max(middle - half // 2, 0) : middle - half // 2 + half] += 1
    return counts / len(middles)


def test_brightness_is_a_constant_for_each_image() -> None:
    """Contrast and saturation leave an image of one grey as it is."""
    shift = color(torch.full((2000, 3, 4, 4), 0.25)) - 0.25
    assert (shift - shift[:, :1, :1, :1]).abs().max() < 1e-6
    shift = shift[:, 0, 0, 0]
    assert -0.5 <= shift.min() < -0.48
    assert 0.48 < shift.max() <= 0.5
    assert shift.std().item() == pytest.approx(1 / 12**0.5, rel=0.05)


def test_contrast_scales_the_distance_from_the_mean_of_a_grey_image() -> None:
    images = torch.randn(2000, 1, 4, 4)
    centred, found = (batch - batch.mean((1, 2, 3), keepdim=True) for batch in (images, color(images)))
    factor = (found * centred).sum((1, 2, 3)) / centred.square().sum((1, 2, 3))
    torch.testing.assert_close(found, factor[:, None, None, None] * centred, atol=1e-5, rtol=1e-4)
    assert 0.5 <= factor.min() < 0.52
    assert 1.48 < factor.max() <= 1.5001


def test_saturation_scales_the_distance_from_grey() -> None:
    """By U(0, 2), times contrast, which is separated by what it does to the grey."""
    images = torch.randn(2000, 3, 4, 4)
    found = color(images)
    greys, colours = [], []
    for batch in (images, found):
        grey = batch.mean(1, keepdim=True)
        greys.append(grey - grey.mean((2, 3), keepdim=True))
        colours.append(batch - grey)
    contrast = (greys[1] * greys[0]).sum((1, 2, 3)) / greys[0].square().sum((1, 2, 3))
    both = (colours[1] * colours[0]).sum((1, 2, 3)) / colours[0].square().sum((1, 2, 3))
    torch.testing.assert_close(colours[1], both[:, None, None, None] * colours[0], atol=1e-5, rtol=1e-4)
    saturation = both / contrast
    assert -1e-4 <= saturation.min() < 0.05
    assert 1.95 < saturation.max() <= 2.001
    assert saturation.mean().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("policy", list(POLICIES))
def test_each_image_has_draws_of_its_own_and_each_call_too(policy: str) -> None:
    images = torch.rand(1, 1, 16, 16).repeat(8, 1, 1, 1)
    found = augmented(images, policy)
    assert len({tuple(image.flatten().tolist()) for image in found}) > 4
    assert not torch.equal(found, augmented(images, policy))


def test_draws_are_a_function_of_torchs_own_seed() -> None:
    images = torch.rand(8, 3, 16, 16)
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        found.append(augmented(images, *POLICIES))
    assert torch.equal(found[0], found[1])


@pytest.mark.parametrize("policy", list(POLICIES))
def test_gradients_flow_to_the_images(policy: str) -> None:
    images = torch.rand(2, 2, 8, 9, dtype=torch.float64, requires_grad=True)

    def policy_once(images: Tensor) -> Tensor:
        torch.manual_seed(1)
        return POLICIES[policy](images)

    assert torch.autograd.gradcheck(policy_once, images, fast_mode=True)
    assert torch.autograd.gradgradcheck(policy_once, images, fast_mode=True)


def test_policies_are_applied_in_their_order() -> None:
    """What is brightened after it was cut out is no longer zero."""
    images = torch.ones(64, 1, 8, 8)
    last, first = augmented(images, "color", "cutout"), augmented(images, "cutout", "color")
    assert (last == 0).any((1, 2, 3)).all()
    assert not (first == 0).any((1, 2, 3)).all()


def test_r1_is_on_the_images_before_they_are_augmented() -> None:
    """With D = |T(x)|^2 / 2 the slope at x is T'(x)^T T(x): for cutout the image with a hole in it."""
    real = torch.randn(4, 1, 8, 8, requires_grad=True)
    round = Round(nn.Identity(), DiffAugment(Seen(), ["cutout"]), Latent(torch.zeros(4, 1)), real, real.detach())
    term, seen = R1(gamma=1).discriminator(round), round.real_output.features
    assert term is not None
    assert seen is not None
    torch.testing.assert_close(term, seen.square().sum() / 4 / 2)
    (slope,) = torch.autograd.grad(term, real)
    torch.testing.assert_close(slope, seen / 4)
    assert (seen == 0).any()


def test_the_generator_learns_through_the_augmentation() -> None:
    fake = torch.randn(4, 1, 8, 8, requires_grad=True)
    output = discriminate(DiffAugment(Seen(), ["translation"]), fake)
    (slope,) = torch.autograd.grad(output.logits.sum(), fake)
    kept = slope != 0
    torch.testing.assert_close(slope[kept], fake[kept])
    torch.testing.assert_close(slope.square().sum() / 2, output.logits.sum())


def test_in_evaluation_mode_images_pass_as_they_are() -> None:
    images = torch.rand(4, 3, 8, 8)
    discriminator = DiffAugment(Seen())
    assert discriminate(discriminator.eval(), images).features is images
    seen = discriminate(discriminator.train(), images).features
    assert seen is not None
    assert not torch.equal(seen, images)


def test_fakes_in_half_precision_are_augmented_as_data_are() -> None:
    images = torch.rand(4, 1, 8, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        torch.manual_seed(2)
        half = augmented(images, *POLICIES)
        torch.manual_seed(2)
        full = augmented(images.float(), *POLICIES)
    assert half.dtype == torch.float32
    assert torch.equal(half, full)


def test_classes_are_handed_on() -> None:
    class Told(nn.Module):
        takes_labels = True

        def forward(self, samples: Tensor, labels: Tensor) -> Tensor:
            return labels.float()

    assert discriminate(DiffAugment(Told()), torch.zeros(3, 1, 8, 8), torch.arange(3)).logits.tolist() == [0, 1, 2]


def test_vectors_are_refused_in_both_modes() -> None:
    for discriminator in (DiffAugment(Seen()), DiffAugment(Seen()).eval()):
        with pytest.raises(ValueError, match=r"augments images, and samples of this data have shape \[2\]: choose"):
            discriminate(discriminator, torch.zeros(4, 2))


@pytest.mark.parametrize(("policies", "named"), [(["colour", "cutout"], "colour"), ([], "none")])
def test_other_policies_are_refused(policies: list[str], named: str) -> None:
    with pytest.raises(ValueError, match=rf"policies must be some of color, translation, cutout, not {named}$"):
        DiffAugment(Seen(), policies)
