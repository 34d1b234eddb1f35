"""The transformations of ADA with known answers: against numpy, scipy and matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform
from torch import Tensor, nn

from gan_lightning.game import DiscriminatorOutput, Latent, Round, discriminate
from gan_lightning.regularizers.gradient_penalties import R1
from gan_lightning.variants.ada import (
    COLOURS,
    MOVES,
    TRANSFORMS,
    AdaptiveAugmentation,
    Draws,
    moved,
    stretch,
    turn,
)

CONTINUOUS = sorted({*TRANSFORMS} - {"x_flip", "rotate_90", "integer_translation", "luma_flip"})
"""Those that leave no image as it was once they are applied; half of the flips, say, flip nothing."""


class Seen(nn.Module):
    """Features are what it is shown; the score is half the square of it."""

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        return DiscriminatorOutput(samples.flatten(1).square().sum(1) / 2, samples)


def wrapper(*transforms: str, p: float = 1.0, network: nn.Module | None = None) -> AdaptiveAugmentation:
    made = AdaptiveAugmentation(network or Seen(), transforms)
    made.p.fill_(p)
    return made


def seen(discriminator: nn.Module, images: Tensor) -> Tensor:
    features = discriminate(discriminator, images).features
    assert features is not None
    return features


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def images_of(count: int = 64, channels: int = 3, height: int = 12, width: int = 16) -> Tensor:
    return torch.rand(count, channels, height, width) * 2 - 1


# How often


def test_without_probability_images_pass_bit_by_bit() -> None:
    images = images_of()
    assert torch.equal(seen(wrapper(*TRANSFORMS, p=0.0), images), images)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_with_certainty_each_image_is_transformed(name: str) -> None:
    images = images_of(200)
    found = seen(wrapper(name), images)
    assert (found != images).any(3).any(2).any(1).all()
    assert len({tuple(each.flatten()[:9].tolist()) for each in found - images}) == 200  # each by draws of its own


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_probability_is_the_share_of_images_transformed(name: str) -> None:
    still = {"x_flip": 1 / 2, "luma_flip": 1 / 2, "rotate_90": 1 / 4, "integer_translation": 1 / (3 * 4)}
    images = images_of(3000)
    changed = (seen(wrapper(name, p=0.4), images) - images).abs().amax((1, 2, 3)) > 1e-5
    expected = 0.4 * (1 - still.get(name, 0))  # to whole pixels: 1.5 of 12 and 2 of 16, rounded, at least -1 ... 1
    assert changed.float().mean().item() == pytest.approx(expected, abs=0.04)


def test_transformations_are_drawn_apart() -> None:
    images = images_of(4000)
    brighter = Draws(images, torch.tensor(0.5)).normal(1.0, 1, 1, 1)
    further = Draws(images, torch.tensor(0.5)).normal(1.0, 2, 1)
    both = (brighter != 0).flatten() & (further != 0).all(2).all(1)
    assert both.float().mean().item() == pytest.approx(1 / 4, abs=0.04)
    assert ((further != 0).all(1) == (further != 0).any(1)).all()  # both coordinates of a shift or none


def test_in_evaluation_mode_images_pass_as_they_are() -> None:
    images = images_of()
    assert seen(wrapper(*TRANSFORMS).eval(), images) is images


# Moves


def test_flips_are_mirror_images() -> None:
    images = images_of()
    found = seen(wrapper("x_flip"), images)
    flipped = (found - images.flip(3)).abs().amax((1, 2, 3)) < 1e-5
    assert torch.equal(found[~flipped], images[~flipped])
    assert 16 < flipped.sum() < 48


def test_quarter_turns_are_numpys() -> None:
    images = images_of(200, height=12, width=12)
    found = seen(wrapper("rotate_90"), images)
    turns = [np.rot90(images.numpy(), k, axes=(2, 3)) for k in range(4)]
    errors = np.stack([np.abs(found.numpy() - each).max((1, 2, 3)) for each in turns])
    assert (errors.min(0) < 1e-5).all()
    assert np.bincount(errors.argmin(0)).min() > 30


def test_whole_shifts_mirror_what_comes_in() -> None:
    """As numpy's symmetric padding does; by up to an eighth, of 16 across and of 24 down."""
    images = images_of(300, 1, height=24, width=16)
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (3, 3), (2, 2)), mode="symmetric")
    found, shifts = seen(wrapper("integer_translation"), images).numpy(), set()
    for image, old in zip(found[:, 0], padded[:, 0], strict=True):
        errors = {
            (down, across): np.abs(image - old[down : down + 24, across : across + 16]).max()
            for down in range(7)
            for across in range(5)
        }
        shift = min(errors, key=lambda shift: errors[shift])
        assert errors[shift] < 1e-5
        shifts.add(shift)
    assert {down for down, _ in shifts} == set(range(7))
    assert {across for _, across in shifts} == set(range(5))


@pytest.mark.parametrize(("height", "width"), [(15, 15), (12, 20)])
def test_moves_in_a_row_are_scipys_affine_map(height: int, width: int) -> None:
    """Turned by 30 degrees, stretched, shifted: one interpolation at the product of the maps."""
    images = images_of(1, 1, height, width)
    angle, across, down = math.pi / 6, 1.25, 0.8
    shift = torch.tensor([1.5, -2.25]).view(1, 2, 1)
    moves = [turn(torch.tensor([[[angle]]])), stretch(torch.tensor([[[across]]]), torch.tensor([[[down]]])), shift]
    cosine, sine = math.cos(angle), math.sin(angle)
    by_hand = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([across, down])
    # scipy counts rows first, from a corner.
    linear, move = by_hand[::-1, ::-1], (by_hand @ shift[0].numpy())[::-1, 0]
    middle = np.array([(height - 1) / 2, (width - 1) / 2])
    expected = affine_transform(
        images[0, 0].numpy(), linear, offset=middle + move - linear @ middle, order=1, mode="reflect"
    )
    np.testing.assert_allclose(moved(images, moves)[0, 0].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["isotropic_scaling", "anisotropic_scaling"])
def test_scalings_are_log_normal(name: str) -> None:
    images = images_of(4000, 1, 4, 4)
    factors = dict(MOVES)[name](Draws(images, torch.tensor(1.0)))
    across, down = factors[:, 0, 0].log2(), factors[:, 1, 1].log2()
    torch.testing.assert_close(down, across if name == "isotropic_scaling" else -across)
    assert across.std().item() == pytest.approx(0.2, rel=0.05)
    assert (factors[:, 0, 1] == 0).all()


def test_rotations_are_made_with_probability_p_in_all() -> None:
    """Once before and once after the stretching: 1 - (1 - q)^2 = p."""
    once = [move for name, move in MOVES if name == "rotation"]
    assert len(once) == 2
    images = images_of(4000, 1, 4, 4)
    turned = [(move(Draws(images, torch.tensor(0.64)))[:, 0, 1] != 0) for move in once]
    assert turned[0].float().mean().item() == pytest.approx(0.4, abs=0.03)
    assert (turned[0] | turned[1]).float().mean().item() == pytest.approx(0.64, abs=0.03)


# Colours


def test_brightness_and_contrast_by_hand() -> None:
    grey = torch.full((3000, 1, 2, 2), 0.5)
    shift = seen(wrapper("brightness"), grey) - grey
    assert (shift == shift[:, :1, :1, :1]).all()
    assert shift[:, 0, 0, 0].std().item() == pytest.approx(0.2, rel=0.05)
    factor = (seen(wrapper("contrast"), grey) / grey)[:, 0, 0, 0].log2()
    assert factor.std().item() == pytest.approx(0.5, rel=0.05)


def colour_matrix(name: str, image: Tensor, found: Tensor) -> Tensor:
    """The (3, 3) matrix that took the pixels of `image` to those of `found`."""
    return torch.linalg.lstsq(image.flatten(1).T.double(), found.flatten(1).T.double()).solution.T


AXIS = torch.full((3,), 3**-0.5, dtype=torch.float64)


@pytest.mark.parametrize("name", ["luma_flip", "hue", "saturation"])
def test_transformations_of_colour_are_those_matrices(name: str) -> None:
    images = images_of(40)
    found = seen(wrapper(name), images)
    grey = torch.outer(AXIS, AXIS)
    for image, other in zip(images, found, strict=True):
        matrix = colour_matrix(name, image, other)
        if name == "luma_flip":  # a Householder reflection, or nothing
            flip = (1 - matrix[0, 0]) / (2 / 3)
            torch.testing.assert_close(
                matrix, torch.eye(3, dtype=torch.float64) - 2 * flip.round() * grey, atol=1e-4, rtol=0
            )
        elif name == "hue":  # a rotation that leaves grey alone
            torch.testing.assert_close(matrix @ matrix.T, torch.eye(3, dtype=torch.float64), atol=1e-4, rtol=0)
            assert matrix.det().item() == pytest.approx(1, abs=1e-4)
            torch.testing.assert_close(matrix @ AXIS, AXIS, atol=1e-4, rtol=0)
        else:
            factor = (matrix.trace() - 1) / 2
            expected = grey + factor * (torch.eye(3, dtype=torch.float64) - grey)
            torch.testing.assert_close(matrix, expected, atol=1e-3, rtol=1e-3)


# Gradients


@pytest.mark.parametrize("name", TRANSFORMS)
def test_gradients_flow_to_the_images(name: str) -> None:
    images = images_of(4, height=6, width=6).double().requires_grad_()

    def once(images: Tensor) -> Tensor:
        torch.manual_seed(1)
        draws = Draws(images, torch.tensor(0.9))
        if name in COLOURS:
            return COLOURS[name](images, draws)
        return moved(images, [move(draws).double() for each, move in MOVES if each == name])

    assert torch.autograd.gradcheck(once, images, fast_mode=True)


def test_r1_is_on_the_images_before_they_are_transformed() -> None:
    """D = |c T(x)|^2 / 2 with a contrast c has the slope c^2 x."""
    real = images_of(8).requires_grad_()
    round = Round(nn.Identity(), wrapper("contrast"), Latent(torch.zeros(8, 1)), real, real.detach())
    term, transformed = R1(gamma=1).discriminator(round), round.real_output.features
    assert term is not None
    assert transformed is not None
    squares = (transformed / real).amax((1, 2, 3)).square()  # c^2
    torch.testing.assert_close(term, (squares[:, None] * real.flatten(1)).square().sum(1).mean() / 2)


@pytest.mark.skipif(torch.__version__ < "2.12", reason="grid_sample has no second derivative")
def test_r1_goes_through_moves_too() -> None:
    real = images_of(8).requires_grad_()
    look = nn.Conv2d(3, 4, 3)
    network = nn.Sequential(look, nn.Tanh(), nn.Flatten(), nn.LazyLinear(1), nn.Flatten(0))
    discriminator = wrapper("rotation", "fractional_translation", network=network)
    term = R1().discriminator(Round(nn.Identity(), discriminator, Latent(torch.zeros(8, 1)), real, real.detach()))
    assert term is not None
    term.backward()
    assert look.weight.grad is not None
    assert look.weight.grad.abs().max() > 0


def test_half_precision_is_left_to_the_network_within() -> None:
    images = images_of(8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        torch.manual_seed(2)
        half = seen(wrapper(*TRANSFORMS), images)
        torch.manual_seed(2)
    assert half.dtype == torch.float32
    assert torch.equal(half, seen(wrapper(*TRANSFORMS), images.float()))


# What cannot work


@pytest.mark.parametrize(("names", "named"), [(["flip", "hue"], "flip"), ([], "none")])
def test_other_transformations_are_refused(names: list[str], named: str) -> None:
    with pytest.raises(ValueError, match=rf"wrappers\.ada\.transforms must be some of x_flip, .*, not {named}$"):
        AdaptiveAugmentation(Seen(), names)


def test_vectors_and_colours_of_grey_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"images, and samples of this data have shape \[2\]"):
        discriminate(wrapper("contrast"), torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"hue and saturation of .* for images of 3 channels, not 1"):
        discriminate(wrapper("contrast", "saturation", "hue"), torch.zeros(4, 1, 8, 8))
