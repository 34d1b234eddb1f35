"""R3GAN: the published sizes counted by hand, its resampling, its start."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gan_lightning.game import Latent
from gan_lightning.models.r3gan import (
    Downsample,
    R3GANDiscriminator,
    R3GANGenerator,
    ResidualBlock,
    Upsample,
    stage_channels,
)


def weights(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def block(width: int) -> int:
    """To twice the channels with a bias, 3x3 in groups of 16 with a bias, back without."""
    return width * 2 * width + 2 * width + 2 * width * 16 * 9 + 2 * width + 2 * width * width


@pytest.mark.parametrize(
    ("size", "wide_stages", "widths"),
    [
        (32, 4, [768] * 4),  # CIFAR-10
        (64, 4, [768] * 4 + [384]),  # FFHQ-64
        (128, 4, [768] * 4 + [384, 192]),
        (28, 4, [768] * 3),
        (28, 1, [768, 384, 192]),
        (64, 2, [768, 768, 384, 192, 96]),
    ],
)
def test_as_many_weights_as_the_published_stages_have(size: int, wide_stages: int, widths: list[int]) -> None:
    with torch.device("meta"):
        generator = R3GANGenerator(64, (3, size, size), wide_stages=wide_stages)
        discriminator = R3GANDiscriminator((3, size, size), wide_stages=wide_stages)
    coarsest = 7 if size == 28 else 4
    stages = sum(2 * block(width) for width in widths)
    between = sum(wide * narrow for wide, narrow in zip(widths[:-1], widths[1:], strict=True) if wide != narrow)
    both = stages + between + 3 * widths[-1] + 768 * coarsest**2
    assert weights(generator) == both + 64 * 768
    assert weights(discriminator) == both + 768


def test_the_network_for_cifar_10_has_96_groups() -> None:
    with torch.device("meta"):
        network = R3GANGenerator(64, (3, 32, 32))
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert {layer.groups for layer in convolutions if layer.kernel_size == (3, 3)} == {96}
    assert weights(network) == 20_732_160


def test_resampling_is_bilinear() -> None:
    """Within the border, where this takes zeros and `interpolate` repeats the edge."""
    maps = torch.randn(2, 3, 8, 8)
    up = F.interpolate(maps, scale_factor=2, mode="bilinear")
    down = F.interpolate(maps, scale_factor=0.5, mode="bilinear", antialias=True)
    torch.testing.assert_close(Upsample()(maps)[..., 1:-1, 1:-1], up[..., 1:-1, 1:-1])
    torch.testing.assert_close(Downsample()(maps)[..., 1:-1, 1:-1], down[..., 1:-1, 1:-1])
    torch.testing.assert_close(Upsample()(torch.ones(1, 1, 4, 4))[0, 0, 0, :2], torch.tensor([0.5625, 0.75]))


def test_a_block_begins_as_the_identity_and_follows_its_formula() -> None:
    torch.manual_seed(0)
    residual, x = ResidualBlock(16, depth=8), torch.randn(2, 16, 5, 5)
    assert torch.equal(residual(x), x)
    a, a_bias, b, b_bias, c = residual.parameters()
    for weight in (a_bias, b_bias, c):
        nn.init.normal_(weight)
    h = F.leaky_relu(F.conv2d(x, a, a_bias), 0.2)
    groups = [F.conv2d(h[:, 16 * i : 16 * i + 16], b[16 * i : 16 * i + 16], padding=1) for i in range(2)]
    h = F.leaky_relu(torch.cat(groups, dim=1) + b_bias[:, None, None], 0.2)
    torch.testing.assert_close(residual(x), x + F.conv2d(h, c))


def test_the_start_shrinks_with_the_depth() -> None:
    """8 blocks of 3 convolutions: He's gain for a slope of .2 times 8^(-1/4); others keep the variance."""
    torch.manual_seed(0)
    generator, discriminator = R3GANGenerator(64, (3, 32, 32), width=64), R3GANDiscriminator((3, 32, 32), width=64)
    gain = (2 / 1.04) ** 0.5 * 8**-0.25
    for network in (generator, discriminator):
        blocks = [module for module in network.modules() if isinstance(module, ResidualBlock)]
        assert len(blocks) == 8
        for residual in blocks:
            first, _, second, _, last = residual.parameters()
            assert first.std().item() == pytest.approx(gain / 64**0.5, rel=0.05)
            assert second.std().item() == pytest.approx(gain / (16 * 9) ** 0.5, rel=0.05)
            assert not last.any()
    assert generator.input_projection.weight.std().item() == pytest.approx(64**-0.5, rel=0.1)
    assert generator.basis.std().item() == pytest.approx(1, rel=0.1)


def test_at_the_start_an_image_is_the_weighted_basis_enlarged() -> None:
    generator, z = R3GANGenerator(5, (1, 28, 28), width=8), torch.randn(3, 5)
    maps = torch.einsum("bz,cz,cij->bcij", z, generator.input_projection.weight, generator.basis)
    expected = F.conv2d(Upsample()(Upsample()(maps)), generator.to_rgb.weight)
    torch.testing.assert_close(generator(Latent(z)), expected)


def test_the_score_weighs_each_map_then_sums() -> None:
    discriminator, images = R3GANDiscriminator((1, 32, 32), width=8), torch.randn(3, 1, 32, 32)
    depthwise, linear = discriminator.score.parameters()
    output = discriminator(images)
    assert output.features is not None
    assert output.features.shape == (3, 8, 4, 4)
    expected = torch.einsum("bcij,cij,c->b", output.features, depthwise[:, 0], linear[0])
    torch.testing.assert_close(output.logits, expected)


def test_narrow_stages_keep_whole_groups() -> None:
    _, widths = stage_channels((3, 512, 512), 48, blocks=1, wide_stages=4)
    assert widths == [48, 48, 48, 48, 24, 8, 8, 8]  # 12 would leave 24 channels within a block, no multiple of 16


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": (1, 30, 30)}, r"model=r3gan makes images with sides .* not data\.shape=\[1, 30, 30\]"),
        ({"shape": (2,)}, r"not data\.shape=\[2\]"),
        ({"width": 12}, "must be a multiple of 8, not 12"),
        ({"width": 0}, "width of model.generator and model.discriminator must be a whole number of at least 1, not 0"),
        (
            {"wide_stages": 0},
            "wide_stages of model.generator .* whole number of at least 1, not 0",
        ),
        (
            {"blocks": 0},
            "blocks of model.generator .* whole number of at least 1, not 0",
        ),
    ],
)
@pytest.mark.parametrize("make", [lambda **settings: R3GANGenerator(5, **settings), R3GANDiscriminator])
def test_what_cannot_be_built_is_refused(make, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**{"shape": (1, 28, 28), **settings})
