"""The residual networks: SNGAN's counts by hand, its blocks by their definition, where attention and classes stand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import repeat

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import is_parametrized

from gan_lightning.game import Latent
from gan_lightning.models.attention import SelfAttention
from gan_lightning.models.normalization import ConditionalBatchNorm
from gan_lightning.models.resnet import (
    ConditionalResBlockUp,
    ResBlock,
    ResBlockDown,
    ResBlockUp,
    ResNetDiscriminator,
    ResNetGenerator,
    run_conditional,
)


def weights(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def convolution(inputs: int, outputs: int, size: int = 3) -> int:
    return inputs * outputs * size**2 + outputs


def test_the_number_of_weights_is_that_of_table_4() -> None:
    with torch.device("meta"):
        generator, discriminator = ResNetGenerator(128, (3, 32, 32)), ResNetDiscriminator((3, 32, 32))
    up = 2 * convolution(256, 256) + convolution(256, 256, 1) + 2 * (2 * 256)
    assert weights(generator) == (128 + 1) * 4 * 4 * 256 + 3 * up + 2 * 256 + convolution(256, 3)
    first = convolution(3, 128) + convolution(128, 128) + convolution(3, 128, 1)
    plain = 2 * convolution(128, 128)
    assert weights(discriminator) == first + (plain + convolution(128, 128, 1)) + 2 * plain + 128
    assert (weights(generator), weights(discriminator)) == (4_276_739, 1_053_824)


def test_classes_have_gains_and_biases_of_their_own_in_the_blocks_alone() -> None:
    with torch.device("meta"):
        conditional, plain = (ResNetGenerator(128, (3, 32, 32), num_classes=count) for count in (10, None))
    assert weights(conditional) - weights(plain) == 3 * 2 * 256 * 2 * (10 - 1)


def test_attention_adds_its_four_matrices_and_gamma() -> None:
    for make in (partial(ResNetGenerator, 6, (1, 28, 28), 16), partial(ResNetDiscriminator, (1, 28, 28), 16)):
        with_it, without = (weights(make(attention=attention)) for attention in (True, False))
        assert with_it - without == 16 * (2 + 2 + 8) + 8 * 16 + 1


@pytest.mark.parametrize(
    ("size", "coarsest", "last", "ups", "downs"),
    [(28, 7, 7, 2, 2), (32, 4, 8, 3, 2), (48, 6, 12, 3, 2), (64, 4, 8, 4, 3), (100, 25, 25, 2, 2), (256, 4, 8, 6, 5)],
)
def test_maps_and_where_attention_stands(size: int, coarsest: int, last: int, ups: int, downs: int) -> None:
    generator = ResNetGenerator(5, (1, size, size), width=4, attention=True)
    discriminator = ResNetDiscriminator((1, size, size), width=4, attention=True)
    seen = []
    for network in (generator, discriminator):
        for module in network.modules():
            if isinstance(module, SelfAttention):
                module.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[-1]))
    assert generator.input_projection(torch.randn(2, 5)).shape == (2, 4, coarsest, coarsest)
    maps = generator.upsample(generator.input_projection(torch.randn(2, 5)))
    assert maps.shape == (2, 4, size, size)
    assert discriminator.blocks(generator.to_rgb(maps)).shape == (2, 4, last, last)
    assert seen == [min(size // 4, 64)] * 2  # as the authors: 32 of 128 pixels
    assert sum(isinstance(block, ResBlockUp) for block in generator.upsample) == ups
    assert sum(isinstance(block, ResBlockDown) for block in discriminator.blocks) == downs
    assert sum(isinstance(block, ResBlock) for block in discriminator.blocks) == 2


def test_a_doubling_block_as_published() -> None:
    block, x = ResBlockUp(4), torch.randn(3, 4, 5, 5)
    first, second = (layer.weight for layer in block.residual if isinstance(layer, nn.Conv2d))
    (through,) = (layer.weight for layer in block.shortcut if isinstance(layer, nn.Conv2d))
    h = F.interpolate(F.batch_norm(x, None, None, training=True).relu(), scale_factor=2)
    h = F.batch_norm(F.conv2d(h, first, padding=1), None, None, training=True).relu()
    h = F.conv2d(h, second, padding=1)
    shortcut = F.conv2d(F.interpolate(x, scale_factor=2), through)  # in the authors' order
    torch.testing.assert_close(block(x), shortcut + h)


def test_a_conditional_doubling_block_as_published() -> None:
    torch.manual_seed(0)
    block, x, condition = ConditionalResBlockUp(4, 6, 3), torch.randn(5, 4, 5, 5), torch.randn(5, 3)
    norms = [module for module in block.modules() if isinstance(module, ConditionalBatchNorm)]
    for norm in norms:
        nn.init.normal_(norm.gain.weight)
        nn.init.normal_(norm.bias.weight)
    first, second = (layer.weight for layer in (block.first, block.second))
    (through,) = (layer.weight for layer in block.shortcut if isinstance(layer, nn.Conv2d))

    def batch_norm(maps: Tensor, norm: ConditionalBatchNorm) -> Tensor:
        gain, bias = 1 + condition @ norm.gain.weight.T, condition @ norm.bias.weight.T
        return F.batch_norm(maps, None, None, training=True) * gain[..., None, None] + bias[..., None, None]

    h = F.conv2d(F.interpolate(batch_norm(x, norms[0]).relu(), scale_factor=2), first, padding=1)
    h = F.conv2d(batch_norm(h, norms[1]).relu(), second, padding=1)
    expected = F.conv2d(F.interpolate(x, scale_factor=2), through) + h  # in the authors' order
    torch.testing.assert_close(block(x, condition), expected, rtol=1e-4, atol=1e-5)
    assert block(x, condition).shape == (5, 6, 10, 10)


@pytest.mark.parametrize("first", [True, False])
def test_a_halving_block_as_published(first: bool) -> None:
    block, x = ResBlockDown(3, 4, first), torch.randn(2, 3, 6, 6)
    a, b = (layer.weight for layer in block.residual if isinstance(layer, nn.Conv2d))
    (through,) = (layer.weight for layer in block.shortcut if isinstance(layer, nn.Conv2d))
    h = F.avg_pool2d(F.conv2d(F.conv2d(x if first else x.relu(), a, padding=1).relu(), b, padding=1), 2)
    torch.testing.assert_close(block(x), F.avg_pool2d(F.conv2d(x, through), 2) + h)


@pytest.mark.parametrize("width", [3, 4])
def test_a_plain_block_as_published(width: int) -> None:
    block, x = ResBlock(3, width), torch.randn(2, 3, 6, 6)
    a, b = (layer.weight for layer in block.residual if isinstance(layer, nn.Conv2d))
    shortcut = F.conv2d(x, block.shortcut.weight) if isinstance(block.shortcut, nn.Conv2d) else x
    h = F.conv2d(F.conv2d(x.relu(), a, padding=1).relu(), b, padding=1)
    torch.testing.assert_close(block(x), shortcut + h)
    assert isinstance(block.shortcut, nn.Conv2d) == (width != 3)


def test_each_conditional_block_gets_the_next_condition() -> None:
    layers = [ConditionalResBlockUp(2, 2, 1), nn.ReLU(), ConditionalResBlockUp(2, 2, 1)]
    used: list[Tensor] = []
    for block in layers[::2]:
        block.register_forward_hook(lambda block, inputs, output: used.append(inputs[1]))

    def numbered() -> Iterator[Tensor]:
        yield from (torch.full((3, 1), float(number)) for number in range(2))

    run_conditional(layers, torch.randn(3, 2, 2, 2), numbered())
    assert [condition.unique().tolist() for condition in used] == [[0.0], [1.0]]
    run_conditional(layers, torch.randn(3, 2, 2, 2), repeat(used[1]))
    assert used[2] is used[3] is used[1]


def conditional_generator(**settings: bool) -> ResNetGenerator:
    """A generator whose blocks have learned what each of five classes is."""
    torch.manual_seed(0)
    generator = ResNetGenerator(6, (1, 28, 28), width=8, num_classes=5, **settings)
    for norm in generator.modules():
        if isinstance(norm, ConditionalBatchNorm):
            nn.init.normal_(norm.gain.weight)
            nn.init.normal_(norm.bias.weight)
    return generator.eval()


@pytest.mark.parametrize("attention", [True, False])
def test_a_generator_is_conditioned_on_the_label(attention: bool) -> None:
    generator, z = conditional_generator(attention=attention), torch.randn(1, 6).expand(3, 6)
    first, second, third = generator(Latent(z, labels=torch.tensor([0, 3, 3])))
    torch.testing.assert_close(second, third)
    assert (first - second).abs().max() > 0.01


def test_classes_start_alike() -> None:
    generator, z = ResNetGenerator(6, (1, 28, 28), width=8, num_classes=5).eval(), torch.randn(1, 6).expand(2, 6)
    first, second = generator(Latent(z, labels=torch.tensor([0, 3])))
    torch.testing.assert_close(first, second)


def test_what_a_class_is_learns_from_its_samples_alone() -> None:
    generator = conditional_generator().train()
    images = generator(Latent(torch.randn(3, 6), labels=torch.tensor([0, 3, 3])))
    images.square().sum().backward()
    norms = [norm for norm in generator.modules() if isinstance(norm, ConditionalBatchNorm)]
    assert len(norms) == 2 * 2
    for weight in (layer.weight for norm in norms for layer in (norm.gain, norm.bias)):
        assert weight.grad is not None  # and 0 where no sample was
        assert [bool(column.any()) for column in weight.grad.T] == [True, False, False, True, False]


def test_a_conditional_generator_refuses_latents_without_labels() -> None:
    with pytest.raises(ValueError, match="choose a prior that draws classes, such as prior=labelled"):
        conditional_generator()(Latent(torch.randn(2, 6)))


@pytest.mark.parametrize("count", [0, -1, 2.5])
def test_there_are_no_classes_by_halves(count: int) -> None:
    with pytest.raises(ValueError, match=rf"model\.generator\.num_classes must be a whole number .* not {count}"):
        ResNetGenerator(6, (1, 28, 28), width=8, num_classes=count)


def test_spectral_norm_leaves_the_gains_and_biases_of_classes_alone() -> None:
    generator = ResNetGenerator(6, (1, 28, 28), width=8, spectral_norm=True, num_classes=5)
    for name, layer in generator.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            assert is_parametrized(layer) != name.endswith((".gain", ".bias")), name
    images = generator(Latent(torch.randn(2, 6), labels=torch.tensor([0, 3])))
    assert images.isfinite().all()  # divided by their largest singular value, zeros would be none


def test_the_score_is_of_sums_over_places() -> None:
    discriminator = ResNetDiscriminator((1, 28, 28), width=4, spectral_norm=False)
    images = torch.randn(3, 1, 28, 28)
    maps = discriminator.blocks(images)
    assert maps.min() == 0
    logits = torch.einsum("bchw,c->b", maps, discriminator.score.weight[0])
    torch.testing.assert_close(discriminator(images).logits, logits)


@pytest.mark.parametrize("spectral", [True, False])
def test_spectral_norm_is_everywhere_or_nowhere(spectral: bool) -> None:
    for network in (
        ResNetGenerator(5, (1, 28, 28), width=8, spectral_norm=spectral, attention=True),
        ResNetDiscriminator((1, 28, 28), width=8, spectral_norm=spectral, attention=True),
    ):
        layers = [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
        assert len(layers) >= 10
        assert all(is_parametrized(layer) == spectral for layer in layers)


def test_initial_weights_are_xaviers_larger_by_the_root_of_2_in_residuals() -> None:
    torch.manual_seed(0)
    networks = nn.ModuleList(
        [ResNetGenerator(64, (3, 32, 32), width=32), ResNetDiscriminator((3, 32, 32), width=32, spectral_norm=False)]
    )
    seen = 0
    for name, module in networks.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            fans = (module.weight.shape[0] + module.weight.shape[1]) * module.weight[0, 0].numel()
            bound = (6 / fans) ** 0.5 * (2**0.5 if "residual" in name else 1)
            assert 0.9 * bound < module.weight.abs().max() <= bound, name
            assert module.bias is None or not module.bias.any()
            seen += 1
    assert seen == (1 + 3 * 3 + 1) + (2 * 3 + 2 * 2 + 1)


@pytest.mark.parametrize("shape", [(1, 30, 30), (0, 28, 28), (3, 64, 34), (2,)])
@pytest.mark.parametrize("make", [lambda shape: ResNetGenerator(5, shape), ResNetDiscriminator])
def test_other_shapes_are_refused(make, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"model=resnet .* makes images with sides of k \* 2\^n pixels") as error:
        make(shape)
    assert f"not data.shape={list(shape)}" in str(error.value)


def test_no_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="width of model.generator .* whole number of at least 1"):
        ResNetDiscriminator((1, 28, 28), width=0)
