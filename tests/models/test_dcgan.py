"""DCGAN: sizes, initialisation and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gan_lightning.game import Latent
from gan_lightning.models.dcgan import DCGANDiscriminator, DCGANGenerator
from gan_lightning.models.normalization import REFERENCE_SIZE
from gan_lightning.priors import Uniform


def weights(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_as_many_weights_as_the_half_width_network_of_the_literature() -> None:
    """The common 64x64 DCGAN of width 64 has 3 576 704 and 2 765 568 weights; biases where no norm follows are ours."""
    assert weights(DCGANGenerator(100, (3, 64, 64), width=64)) == 3_576_704 + 3
    assert weights(DCGANDiscriminator((3, 64, 64), width=64)) == 2_765_568 + 64 + 1


@pytest.mark.parametrize(
    ("size", "coarsest", "channels"),
    [(28, 7, 20), (48, 6, 40), (64, 4, 80), (100, 25, 20), (128, 4, 160), (256, 4, 160)],
)
def test_channels_double_with_each_halving(size: int, coarsest: int, channels: int) -> None:
    features = DCGANDiscriminator((1, size, size), width=10)(torch.randn(2, 1, size, size)).features
    assert features.shape == (2, channels, coarsest, coarsest)
    generator = DCGANGenerator(5, (1, size, size), width=10)
    assert generator.input_projection(torch.randn(2, 5)).shape == features.shape
    assert generator.upsample(features).shape == (2, 10, size // 2, size // 2)


def test_initial_weights_have_the_published_spread() -> None:
    torch.manual_seed(0)
    networks = nn.ModuleList([DCGANGenerator(64, (3, 64, 64), width=32), DCGANDiscriminator((3, 64, 64), width=32)])
    norms = [module for module in networks.modules() if isinstance(module, nn.BatchNorm2d)]
    matrices = [weight for weight in networks.parameters() if weight.dim() > 1]
    scales = torch.cat([norm.weight for norm in norms])
    assert len(norms) == 4 + 3  # none at the generator's output, none at the discriminator's input
    for weight in matrices:
        assert weight.mean().item() == pytest.approx(0, abs=5 * 0.02 / weight.numel() ** 0.5)
        assert weight.std().item() == pytest.approx(0.02, rel=5 / (2 * weight.numel()) ** 0.5)
    assert scales.mean().item() == pytest.approx(1, abs=5 * 0.02 / len(scales) ** 0.5)
    assert scales.std().item() == pytest.approx(0.02, rel=5 / (2 * len(scales)) ** 0.5)
    assert all((bias == 0).all() for name, bias in networks.named_parameters() if name.endswith("bias"))


def test_weights_set_by_their_inputs_keep_the_scale_of_maps_through_all_layers() -> None:
    """Of unit inputs the published weights leave next to nothing in a narrow network without norms."""
    torch.manual_seed(0)
    images = torch.randn(200, 3, 64, 64)
    scales = {}
    for init in ("dcgan", "he"):
        network = DCGANDiscriminator((3, 64, 64), width=16, norm="none", init=init, pool=True)
        with torch.no_grad():
            scales[init] = network.downsample(network.from_rgb(images)).square().mean().sqrt().item()
    assert scales["he"] == pytest.approx(1, rel=0.25)
    assert scales["dcgan"] < 0.02
    with pytest.raises(ValueError, match="model.discriminator.init"):
        DCGANDiscriminator((3, 64, 64), init="xavier")


def test_pooled_features_are_the_sum_over_places() -> None:
    torch.manual_seed(0)
    network = DCGANDiscriminator((3, 32, 32), width=4, norm="none", pool=True)
    images = torch.randn(5, 3, 32, 32)
    output = network(images)
    maps = network.downsample(network.from_rgb(images))
    assert maps.shape == (5, 16, 4, 4)
    torch.testing.assert_close(output.features, maps.sum((2, 3), keepdim=True) / 4)
    torch.testing.assert_close(output.logits, network.score[-1](maps.sum((2, 3)) / 4).squeeze(1))


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_a_convolution_has_a_bias_where_no_norm_follows(norm: str) -> None:
    kinds = {"batch": nn.BatchNorm2d, "layer": nn.GroupNorm, "none": nn.Identity}
    discriminator = DCGANDiscriminator((1, 64, 64), width=4, norm=norm)
    for layers in discriminator.downsample.children():
        convolution, normalise, _ = layers.children()
        assert isinstance(normalise, kinds[norm])
        assert (convolution.bias is None) == (norm != "none")


@pytest.mark.parametrize("shape", [(1, 30, 30), (0, 28, 28), (3, 64, 34), (2,), (28, 28)])
@pytest.mark.parametrize("make", [lambda shape: DCGANGenerator(5, shape), lambda shape: DCGANDiscriminator(shape)])
def test_other_shapes_are_refused(make, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"model=dcgan makes images with sides of k \* 2\^n pixels") as error:
        make(shape)
    assert f"not data.shape={list(shape)}" in str(error.value)


def test_other_norms_and_widths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.discriminator\.norm=group is unknown: choose batch, layer, none"):
        DCGANDiscriminator((1, 28, 28), norm="group")
    with pytest.raises(ValueError, match="width of model.generator .* whole number of at least 1"):
        DCGANGenerator(5, (1, 28, 28), width=0)


@pytest.mark.parametrize("norm", ["batch", "virtual"])
def test_virtual_batch_norm_makes_each_sample_by_itself(norm: str) -> None:
    torch.manual_seed(0)
    generator = DCGANGenerator(5, (1, 28, 28), width=4, norm=norm, prior=Uniform(5))
    z = torch.randn(6, 5)
    whole, alone = generator(Latent(z)), generator(Latent(z[:2]))
    assert torch.allclose(whole[:2], alone, atol=1e-6) == (norm == "virtual")
    assert torch.allclose(generator.eval()(Latent(z)), whole, atol=1e-6) == (norm == "virtual")


def test_the_reference_batch_is_drawn_once_from_the_prior_by_the_seed() -> None:
    references = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        generator = DCGANGenerator(5, (1, 28, 28), width=4, norm="virtual", prior=Uniform(5))
        before = generator.state_dict()["reference"].clone()
        generator(Latent(torch.randn(3, 5)))
        references.append(generator.state_dict()["reference"])
        assert torch.equal(before, references[-1])
        assert before.shape == (REFERENCE_SIZE, 5)
        assert before.min() < -0.9 < 0.9 < before.max() <= 1
    assert torch.equal(references[0], references[1])
    assert not torch.equal(references[0], references[2])


def test_virtual_batch_norm_needs_a_prior() -> None:
    with pytest.raises(ValueError, match=r"norm=virtual draws a reference batch: give model\.generator\.prior"):
        DCGANGenerator(5, (1, 28, 28), norm="virtual")
    with pytest.raises(ValueError, match=r"model\.generator\.norm=layer is unknown: choose batch or virtual"):
        DCGANGenerator(5, (1, 28, 28), norm="layer")


@pytest.mark.parametrize("minibatch", ["none", "std", "discrimination"])
def test_a_score_depends_on_its_batch_with_minibatch_layers(minibatch: str) -> None:
    torch.manual_seed(0)
    discriminator = DCGANDiscriminator((1, 28, 28), width=4, norm="none", minibatch=minibatch)
    nn.init.normal_([*discriminator.score.parameters()][-2])
    images = torch.randn(4, 1, 28, 28)
    others = torch.cat([images[:1], 20 * images[1:]])
    first, again = (discriminator(batch).logits[0] for batch in (images, others))
    assert torch.allclose(first, again, rtol=1e-4, atol=1e-7) == (minibatch == "none")
