"""The networks of CycleGAN: which half is whose, and the sizes that the authors published."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_lightning.game import Latent
from gan_lightning.models.cyclegan import CycleGANGenerators, PatchGANPair


def count(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize(("blocks", "published"), [(9, 11_378_179), (6, 7_837_699)])
def test_translators_are_as_large_as_the_authors(blocks: int, published: int) -> None:
    """But for their biases before a norm, which cancels them."""
    with torch.device("meta"):
        network = CycleGANGenerators((6, 256, 256), width=64, blocks=blocks)
    cancelled = 64 + 128 + 256 + 2 * blocks * 256 + 128 + 64
    assert count(network.a_to_b) == count(network.b_to_a) == published - cancelled


def test_critics_are_as_large_as_the_authors() -> None:
    with torch.device("meta"):
        network = PatchGANPair((6, 256, 256), width=64, depth=3)
    cancelled = 128 + 256 + 512
    assert count(network.of_a) == count(network.of_b) == 2_764_737 - cancelled


@pytest.mark.parametrize(("depth", "across"), [(1, 16), (2, 34), (3, 70)])
def test_a_score_is_of_a_patch(depth: int, across: int) -> None:
    """The pixels that a score depends on, with the norms, which see everything, taken out."""
    critic = PatchGANPair((2, 160, 160), width=2, depth=depth).of_a
    for name, module in list(critic.named_children()):
        if isinstance(module, nn.InstanceNorm2d):
            setattr(critic, name, nn.Identity())
    for weight in critic.parameters():
        nn.init.constant_(weight, 0.1)
    image = torch.rand(1, 1, 160, 160, requires_grad=True)
    scores = critic(image)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    assert image.grad is not None
    seen = image.grad[0, 0] != 0
    assert seen.any(0).sum() == seen.any(1).sum() == across


@pytest.mark.parametrize(("size", "depth", "scores"), [(256, 3, 30), (128, 3, 14), (28, 1, 12), (28, 2, 5), (28, 3, 1)])
def test_how_many_patches_an_image_has(size: int, depth: int, scores: int) -> None:
    output = PatchGANPair((2, size, size), width=2, depth=depth)(torch.rand(2, 2, size, size))
    assert output.patches.shape == (2, 2, scores, scores)
    torch.testing.assert_close(output.logits, output.patches.mean((1, 2, 3)))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "halvings"), [(16, 2), (28, 1), (36, 2)])
def test_a_pair_is_translated_crosswise(channels: int, size: int, halvings: int) -> None:
    shape = (2 * channels, size, size)
    network = CycleGANGenerators(shape, width=4, blocks=1, halvings=halvings)
    a, b = torch.rand(2, 3, channels, size, size) * 2 - 1
    fakes = network(Latent(torch.cat([a, b], dim=1)))
    assert fakes.shape == (3, *shape)
    assert fakes.abs().max() <= 1
    torch.testing.assert_close(fakes[:, :channels], network.b_to_a(b))
    torch.testing.assert_close(fakes[:, channels:], network.a_to_b(a))
    assert not torch.equal(network.a_to_b(a), network.b_to_a(a))  # two networks


def test_each_critic_scores_its_half_of_each_sample_alone() -> None:
    critics, samples = PatchGANPair((2, 28, 28), width=4, depth=2), torch.rand(3, 2, 28, 28)
    patches = critics(samples).patches
    other = samples.clone()
    other[1, 0] = 0

    def changed(after: Tensor) -> Any:
        return (after != patches).flatten(2).any(2).tolist()

    assert changed(critics(other).patches) == [[False, False], [True, False], [False, False]]
    assert critics.of_a(samples[:, :1]).allclose(patches[:, :1])
    assert critics.of_b(samples[:, 1:]).allclose(patches[:, 1:])


@pytest.mark.parametrize("kind", [CycleGANGenerators, PatchGANPair])
def test_weights_begin_small_and_biases_at_zero(kind: type[CycleGANGenerators] | type[PatchGANPair]) -> None:
    torch.manual_seed(0)
    for name, weight in kind((2, 28, 28), width=16).named_parameters():
        if name.endswith("bias"):
            assert not weight.any()
        elif weight.numel() > 5000:
            assert weight.std().item() == pytest.approx(0.02, rel=0.1)
            assert weight.mean().item() == pytest.approx(0, abs=0.002)


@pytest.mark.parametrize("kind", [CycleGANGenerators, PatchGANPair])
@pytest.mark.parametrize("shape", [(1, 28, 28), (4, 28, 28), (2, 28, 30), (2, 30, 30), (2, 12, 12), (2,)])
def test_other_shapes_are_refused(kind: type[nn.Module], shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"model=cyclegan translates .* not data\.shape="):
        kind(shape)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (CycleGANGenerators, {"width": 0}, "width"),
        (CycleGANGenerators, {"blocks": 0}, r"model\.generator\.blocks must be a whole number of at least 1"),
        (CycleGANGenerators, {"halvings": 3}, r"model\.generator\.halvings must be 1 or 2"),
        (PatchGANPair, {"width": 0}, "width"),
        (PatchGANPair, {"depth": 0}, "choose 3 or less, at least 1"),
        (PatchGANPair, {"depth": 4}, r"depth=4 does not suit images of 28 pixels: choose 3 or less"),
        (
            PatchGANPair,
            {"shape": (2, 16, 16), "depth": 3},
            r"depth=3 does not suit images of 16 pixels: choose 2 or less",
        ),
    ],
)
def test_impossible_settings_are_refused(kind: type[nn.Module], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**{"shape": (2, 28, 28), **settings})
