"""BigGAN: published numbers of weights, where noise and class enter, what the discriminator adds for a class."""

from __future__ import annotations

import pytest
import torch
from helpers.compose import composed
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from gan_lightning.game import Latent, discriminate, takes_labels
from gan_lightning.models import biggan
from gan_lightning.models.attention import SelfAttention
from gan_lightning.models.biggan import BigGANDiscriminator, BigGANGenerator
from gan_lightning.models.resnet import ConditionalResBlockUp

CHUNKS = {28: 3, 32: 4, 48: 4, 64: 5, 128: 6, 256: 7}
"""Size of an image to the chunks of its noise: one for each doubling and one before."""


def weights(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def generator_of(size: int = 28, width: int = 2, attention: bool = True) -> BigGANGenerator:
    torch.manual_seed(0)
    return BigGANGenerator(2 * CHUNKS[size], (1, size, size), 5, width, embedding_dim=4, attention=attention)


def asking(count: int, size: int = 28) -> Latent:
    return Latent(torch.randn(count, 2 * CHUNKS[size]), labels=torch.arange(count) % 5)


def test_as_many_weights_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """For 128x128 pixels and 1000 classes: the counts of the authors' code, and of compare_gan's test of its own."""
    monkeypatch.setattr(biggan, "spectrally_normalised", lambda network, spared=(): network)  # slow, and adds none
    with torch.device("meta"):
        generator, discriminator = BigGANGenerator(120, (3, 128, 128), 1000), BigGANDiscriminator((3, 128, 128), 1000)
    assert (weights(generator), weights(discriminator)) == (70_433_988, 87_982_370)


@pytest.mark.parametrize(
    ("size", "up", "down"),
    [
        (28, [(4, 7), (4, 14), (4, 28)], [(4, 14), (4, 7), (4, 7), (4, 7)]),
        (32, [(4, 4), (4, 8), (4, 16), (4, 32)], [(4, 16), (4, 8), (4, 8), (4, 8)]),
        (64, [(16, 4), (16, 8), (8, 16), (4, 32), (2, 64)], [(1, 32), (2, 16), (4, 8), (8, 4), (16, 4)]),
        (
            128,
            [(16, 4), (16, 8), (8, 16), (4, 32), (2, 64), (1, 128)],
            [(1, 64), (2, 32), (4, 16), (8, 8), (16, 4), (16, 4)],
        ),
        (48, [(4, 6), (4, 12), (4, 24), (4, 48)], [(4, 24), (4, 12), (4, 12), (4, 12)]),
        (
            256,
            [(16, 4), (16, 8), (8, 16), (8, 32), (4, 64), (2, 128), (1, 256)],
            [(1, 128), (2, 64), (4, 32), (8, 16), (8, 8), (16, 4), (16, 4)],
        ),
    ],
)
def test_maps_and_where_attention_stands(size: int, up: list[tuple[int, int]], down: list[tuple[int, int]]) -> None:
    """Maps as (channels in multiples of the width, size in pixels)."""
    generator, discriminator = generator_of(size), BigGANDiscriminator((1, size, size), 5, width=2)
    seen: dict[str, list[tuple[int, int]]] = {"up": [], "down": [], "attention": []}

    def note(module: nn.Module, inputs: tuple[Tensor, ...], maps: Tensor) -> None:
        player = "up" if module in generator.upsample else "down"
        seen["attention" if isinstance(module, SelfAttention) else player].append((maps.shape[1] // 2, maps.shape[2]))

    for block in (*generator.upsample, *discriminator.blocks):
        if not isinstance(block, nn.ReLU):
            block.register_forward_hook(note)
    latent = asking(2, size)
    assert latent.labels is not None
    images = generator(latent)
    assert images.shape == (2, 1, size, size)
    assert discriminator(images, latent.labels).features.shape == (2, 2 * down[-1][0])
    first = generator.input_projection(torch.zeros(1, 2))
    assert [(first.shape[1] // 2, first.shape[2]), *seen["up"]] == up
    assert seen["down"] == down
    where = min(size // 2, 64)
    assert seen["attention"] == [next(maps for maps in side if maps[1] == where) for side in (up, down)]


def test_attention_is_a_choice() -> None:
    """It adds its four matrices and gamma: 1/8, 1/8 and 1/2 of the channels, and back."""
    more = weights(generator_of()) - weights(generator_of(attention=False))
    assert more == 8 * (1 + 1 + 4) + 4 * 8 + 1
    networks = (BigGANDiscriminator((1, 28, 28), 5, width=2, attention=attention) for attention in (True, False))
    with_it, without = (weights(network) for network in networks)
    assert with_it - without == more


def test_each_chunk_of_the_noise_enters_at_its_own_place_and_the_class_at_every_block() -> None:
    """Maps before that place do not depend on it, and maps after it do."""
    generator, latent = generator_of(64).eval(), asking(3, 64)
    assert latent.labels is not None
    stages = [
        generator.input_projection,
        *(part for part in generator.upsample if isinstance(part, ConditionalResBlockUp)),
    ]

    def maps(latent: Latent) -> list[Tensor]:
        seen: list[Tensor] = []
        hooks = [stage.register_forward_hook(lambda stage, inputs, output: seen.append(output)) for stage in stages]
        generator(latent)
        for hook in hooks:
            hook.remove()
        return seen

    before = maps(latent)
    for place in range(CHUNKS[64]):
        z = latent.z.clone()
        z[:, 2 * place : 2 * place + 2] += 1
        same = [torch.equal(*pair) for pair in zip(before, maps(Latent(z, labels=latent.labels)), strict=True)]
        assert same == [stage < place for stage in range(CHUNKS[64])]
    same = [torch.equal(*pair) for pair in zip(before, maps(Latent(latent.z, labels=latent.labels + 1)), strict=True)]
    assert same == [True, False, False, False, False]


def test_conditions_are_the_shared_embedding_and_a_chunk() -> None:
    generator, latent = generator_of(32), asking(3, 32)
    assert latent.labels is not None
    conditions: list[Tensor] = []
    for part in generator.upsample:
        if isinstance(part, ConditionalResBlockUp):
            part.register_forward_hook(lambda block, inputs, output: conditions.append(inputs[1]))
    generator(latent)
    for number, condition in enumerate(conditions, start=1):
        assert torch.equal(condition[:, :4], generator.embed.weight[latent.labels])
        assert torch.equal(condition[:, 4:], latent.z[:, 2 * number : 2 * number + 2])
    assert len(conditions) == 3


def test_a_classs_embedding_learns_from_its_samples_alone() -> None:
    generator, discriminator = generator_of(), BigGANDiscriminator((1, 28, 28), 5, width=2)
    labels = torch.tensor([1, 3])
    images = generator(Latent(torch.randn(2, 6), labels=labels))
    images.square().sum().backward()
    assert generator.embed.weight.grad is not None  # and 0 where no sample was
    assert [bool(row.any()) for row in generator.embed.weight.grad] == [False, True, False, True, False]
    discriminator(images.detach(), labels).logits.sum().backward()
    grads = [weight.grad for weight in discriminator.parameters()]
    assert all(grad is not None and grad.isfinite().all() for grad in grads)


def test_the_score_of_a_class_is_a_linear_one_and_an_inner_product() -> None:
    discriminator, images = BigGANDiscriminator((1, 28, 28), 5, width=2).eval(), torch.randn(4, 1, 28, 28)
    linear, embed = discriminator.score.linear, discriminator.score.embed
    maps = discriminator.blocks(images)
    assert maps.min() == 0
    features = torch.einsum("bchw->bc", maps)
    logits = {label: discriminator(images, torch.full((4,), label)).logits for label in (1, 3)}
    for label, found in logits.items():
        expected = features @ linear.weight[0] + linear.bias + features @ embed.weight[label]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(logits[1], logits[3])
    assert takes_labels(discriminator)
    with pytest.raises(ValueError, match="a prior that draws classes, such as prior=labelled"):
        discriminate(discriminator, images)


def test_weights_start_orthogonal_under_spectral_norm_but_for_the_generators_embedding() -> None:
    generator, discriminator = generator_of(width=4), BigGANDiscriminator((1, 28, 28), 5, width=4)
    layers = [
        layer
        for network in (generator, discriminator)
        for layer in network.modules()
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding)
    ]
    assert len(layers) == (2 * 7 + 4 + 3) + (2 * 3 + 2 * 2 + 4 + 2)
    for layer in layers:
        assert is_parametrized(layer) == (layer is not generator.embed)
        name = "parametrizations.weight.original" if is_parametrized(layer) else "weight"
        matrix = layer.get_parameter(name).detach().flatten(1)
        matrix = matrix if len(matrix) <= matrix.shape[1] else matrix.T
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix)), rtol=0, atol=1e-5)


def test_half_precision_keeps_statistics_and_scores_in_full() -> None:
    generator, discriminator, latent = generator_of(), BigGANDiscriminator((1, 28, 28), 5, width=2), asking(5)
    assert latent.labels is not None
    with torch.autocast("cpu", torch.bfloat16):
        images = generator(latent)
        output = discriminator(images, latent.labels)
    assert images.dtype == torch.bfloat16
    assert output.logits.dtype == torch.float32
    output.logits.sum().backward()
    for network in (generator, discriminator):
        assert all(buffer.dtype in (torch.float32, torch.int64) for buffer in network.buffers())
        assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())


@pytest.mark.parametrize(("dim", "lengths"), [(8, [2, 2, 2, 2]), (11, [5, 2, 2, 2]), (4, [1, 1, 1, 1])])
def test_noise_that_does_not_divide_leaves_the_rest_to_the_first_chunk(dim: int, lengths: list[int]) -> None:
    generator = BigGANGenerator(dim, (1, 32, 32), 5, width=2, embedding_dim=4)
    blocks = [part for part in generator.upsample if isinstance(part, ConditionalResBlockUp)]
    inputs = [generator.input_projection[0].in_features, *(b.first_norm.gain.in_features - 4 for b in blocks)]
    assert inputs == lengths
    assert generator(Latent(torch.randn(2, dim), labels=torch.tensor([0, 4]))).shape == (2, 1, 32, 32)


def test_less_noise_than_chunks_is_refused_with_a_length_that_will_do() -> None:
    with pytest.raises(ValueError, match=r"into 3 chunks .* 2 numbers are too few: choose prior\.noise\.dim=60$"):
        BigGANGenerator(2, (1, 28, 28), 5)


def test_data_without_classes_are_refused() -> None:
    for make in (lambda: BigGANGenerator(6, (1, 28, 28), None), lambda: BigGANDiscriminator((1, 28, 28), None)):
        with pytest.raises(ValueError, match=r"these data have no classes: choose .* such as data=mnist10k"):
            make()


def test_no_channels_no_numbers_and_no_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="width of model.generator .* whole number of at least 1"):
        BigGANDiscriminator((1, 28, 28), 5, width=0)
    with pytest.raises(ValueError, match=r"model\.generator\.embedding_dim must be a whole number of at least 1"):
        BigGANGenerator(6, (1, 28, 28), 5, embedding_dim=0)
    with pytest.raises(ValueError, match=r"num_classes must be a whole number of at least 1, not 0"):
        BigGANDiscriminator((1, 28, 28), 0)


def test_a_prior_without_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="choose a prior that draws classes, such as prior=labelled"):
        generator_of()(Latent(torch.randn(2, 6)))


def test_it_brings_a_prior_of_classes_which_the_command_line_can_change() -> None:
    with composed("model=biggan", "prior.noise.dim=60") as config:
        assert config.hydra.runtime.choices.prior == "labelled"
        assert config.gan.prior.num_classes == config.gan.generator.num_classes == 10
        assert config.gan.generator.latent_dim == config.gan.prior.noise.dim == 60
    with composed("model=biggan", "prior=uniform", "prior.dim=9") as config:
        assert config.gan.prior._target_.endswith("Uniform")
        assert config.gan.generator.latent_dim == 9
