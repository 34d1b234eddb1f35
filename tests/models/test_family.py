"""What every pair of networks must do, as its own file in conf/model makes it."""

from __future__ import annotations

import re
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from gan_lightning.ema import frozen_copy
from gan_lightning.game import Latent, Round, discriminate, takes_labels
from gan_lightning.losses.adversarial import NonSaturating
from gan_lightning.models import biggan, dcgan, resnet
from gan_lightning.regularizers.gradient_penalties import input_gradients
from gan_lightning.runs.compatibility import accepts_shape

CONF = Path(__file__).parents[2] / "conf"
SMALL = ("model.generator.width=4", "model.discriminator.width=4")
IMAGES = [(1, 28, 28), (3, 32, 32), (3, 48, 48), (1, 64, 64), (3, 100, 100), (1, 48, 96), (3, 32, 20)]
SIZES = [*((size, size) for size in (16, 48, 96, 100, 256, 512)), (48, 96), (56, 40)]
"""Of images that every model of images takes which halves and doubles."""
OTHER_SIZES = [(30, 30), (108, 108), (16, 128)]
LINEAR = ("r3gan",)
"""Models of images whose output is unbounded, as published."""
SPECTRAL = ("loss.discriminator_norm=none", "model.discriminator.spectral_norm=true")
WIDTHS_OF_2 = ("model.generator.width=2", "model.discriminator.width=2")
WIDTHS_OF_8 = ("model.generator.width=8", "model.discriminator.width=8")
DIM = 60
"""Length of the noise; it divides among the places where models let it in."""
LABELS = torch.arange(8)
Shape = tuple[int, ...]
Range = tuple[int, int] | None
CASES: list[tuple[str, Shape, Range, tuple[str, ...]]] = [
    *(("mlp", shape, None, ()) for shape in ((1,), (2,))),
    *(("mlp", shape, (-1, 1), ()) for shape in ((1, 28, 28), (3, 5, 7))),
    ("mlp", (2,), None, ("model.generator.batch_norm=true", "model.discriminator.activation=Maxout")),
    *(("dcgan", shape, (-1, 1), SMALL) for shape in IMAGES),
    ("dcgan", (1, 28, 28), (-1, 1), (*SMALL, "loss.discriminator_norm=layer")),
    ("dcgan", (1, 32, 32), (-1, 1), (*SMALL, "loss.discriminator_norm=none")),
    ("dcgan", (1, 28, 28), (-1, 1), (*SMALL, "model.generator.norm=virtual", "model.discriminator.minibatch=std")),
    ("dcgan", (1, 32, 32), (-1, 1), (*SMALL, *SPECTRAL, "model.discriminator.minibatch=discrimination")),
    ("cs231n", (1, 28, 28), (-1, 1), ()),
    *(("resnet", shape, (-1, 1), SMALL) for shape in ((1, 28, 28), (3, 48, 48), (3, 64, 64), (1, 48, 96))),
    ("resnet", (1, 28, 28), (-1, 1), (*SMALL, "model.discriminator.spectral_norm=false")),
    *(("sagan", shape, (-1, 1), SMALL) for shape in ((1, 28, 28), (3, 32, 40))),
    *(("r3gan", shape, (-1, 1), WIDTHS_OF_8) for shape in ((1, 28, 28), (3, 32, 32), (1, 48, 80))),
    ("r3gan", (3, 64, 64), (-1, 1), ("model.generator.width=16", "model.discriminator.width=16")),
    ("resnet", (1, 28, 28), (-1, 1), (*SMALL, "model.generator.num_classes=10")),
    ("sagan", (3, 32, 32), (-1, 1), (*SMALL, "model.generator.num_classes=10")),
    *(("biggan", shape, (-1, 1), WIDTHS_OF_2) for shape in ((1, 28, 28), (3, 48, 32), (1, 64, 64))),
]


@cache
def choose(model: str, shape: Shape, value_range: Range, *overrides: str) -> DictConfig:
    """The model's file, with the facts that it reads from others."""
    bounds = "null" if value_range is None else str(list(value_range))
    facts = [
        f"prior.dim={DIM}",
        f"+data.shape={list(shape)}",
        f"+data.value_range={bounds}",
        "+data.num_classes=10",
        "+loss.discriminator_norm=batch",
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(overrides=["+prior=gaussian", f"+model={model}", *facts, *overrides]).model


def make_pair(model: str, shape: Shape, value_range: Range, *overrides: str, seed: int = 0) -> tuple[Any, Any]:
    torch.manual_seed(seed)
    chosen = choose(model, shape, value_range, *overrides)
    return instantiate(chosen.generator), instantiate(chosen.discriminator)


def leave_zero(network: nn.Module) -> None:
    """Move the weights that start at 0: until they have moved, what comes before them learns nothing."""
    for name, weight in network.named_parameters():
        if not weight.any() and not name.endswith("bias"):
            nn.init.normal_(weight, 0, 0.1)


@pytest.mark.parametrize(("model", "shape", "value_range", "overrides"), CASES)
def test_every_weight_of_a_pair_learns(
    model: str, shape: Shape, value_range: Range, overrides: tuple[str, ...]
) -> None:
    generator, discriminator = make_pair(model, shape, value_range, *overrides)
    leave_zero(generator)
    leave_zero(discriminator)
    latent = Latent(torch.randn(8, DIM), labels=LABELS)
    round = Round(generator, discriminator, latent, torch.randn(8, *shape), generator(latent), labels=LABELS)
    classes = [LABELS] if takes_labels(discriminator) else []
    assert round.fake.shape == (8, *shape)
    for output in (round.real_output, round.fake_output):
        assert output.logits.shape == (8,)
        assert output.logits.isfinite().all()
        assert output.features is not None
        assert len(output.features) == 8
        torch.testing.assert_close(
            discriminator.score(output.features, *classes).flatten(), output.logits
        )  # penultimate

    (NonSaturating().generator(round) + round.real_logits.mean()).backward()
    for player in (generator, discriminator):
        for name, weight in player.named_parameters():
            assert weight.grad is not None, name
            assert weight.grad.isfinite().all(), name
            assert weight.grad.abs().max() > 0, name


@pytest.mark.parametrize(("model", "shape", "value_range", "overrides"), CASES)
def test_output_is_bounded_as_the_data_are(
    model: str, shape: Shape, value_range: Range, overrides: tuple[str, ...]
) -> None:
    generator, _ = make_pair(model, shape, value_range, *overrides)
    for parameter in generator.parameters():
        parameter.detach().mul_(5)  # far into whatever bounds the output
    samples = generator(Latent(torch.randn(8, DIM), labels=LABELS))
    assert samples.isfinite().all()
    assert samples.abs().max() > 0.99
    assert (samples.abs().max() <= 1) == (value_range is not None and model not in LINEAR)


@pytest.mark.parametrize(("model", "shape", "value_range", "overrides"), CASES)
def test_a_state_is_the_whole_network(model: str, shape: Shape, value_range: Range, overrides: tuple[str, ...]) -> None:
    batches: list[Latent | torch.Tensor] = [Latent(torch.randn(8, DIM), labels=LABELS), torch.randn(8, *shape)]
    trained = make_pair(model, shape, value_range, *overrides)
    for network, inputs in zip(trained, batches, strict=True):
        values(network, inputs)  # what moves in training mode has moved
    for network, other, inputs in zip(
        trained, make_pair(model, shape, value_range, *overrides, seed=1), batches, strict=True
    ):
        other.load_state_dict(network.state_dict())
        average, again = frozen_copy(network), other.eval()
        with torch.no_grad():
            first, second, third = (values(each, inputs) for each in (average, average, again))
        assert torch.equal(first, second)
        assert torch.equal(first, third)


def values(network: nn.Module, inputs: Latent | torch.Tensor) -> torch.Tensor:
    """A generator's samples, or a discriminator's logits."""
    return network(inputs) if isinstance(inputs, Latent) else discriminate(network, inputs, LABELS).logits


@pytest.mark.parametrize(("model", "shape", "value_range", "overrides"), CASES)
def test_a_discriminator_has_second_derivatives(
    model: str, shape: Shape, value_range: Range, overrides: tuple[str, ...]
) -> None:
    _, discriminator = make_pair(model, shape, value_range, *overrides)
    leave_zero(discriminator)
    samples = torch.randn(4, *shape, requires_grad=True)
    input_gradients(discriminate(discriminator, samples, LABELS[:4]).logits, samples).square().sum().backward()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in discriminator.parameters())
    assert any(weight.grad is not None and weight.grad.any() for weight in discriminator.parameters())


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_only_batch_norm_mixes_samples(norm: str) -> None:
    _, discriminator = make_pair("dcgan", (1, 32, 32), (-1, 1), *SMALL, f"loss.discriminator_norm={norm}")
    images = torch.randn(4, 1, 32, 32)
    others = torch.cat([images[:1], 2 * images[1:]])
    first, again = (discriminator(batch).logits[0] for batch in (images, others))
    assert torch.allclose(first, again, rtol=1e-4, atol=1e-7) == (norm != "batch")


@pytest.fixture
def without_spectral_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer than all else to build, and changes no shape."""
    for module in (biggan, dcgan, resnet):
        monkeypatch.setattr(module, "spectrally_normalised", lambda network, spared=(): network)


@pytest.mark.usefixtures("without_spectral_norm")
@pytest.mark.parametrize("path", sorted((CONF / "model").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shapes_a_model_says_it_accepts_are_those_it_can_make(path: Path) -> None:
    model = choose(path.stem, (1, 28, 28), (-1, 1))
    for player in (model.generator, model.discriminator):
        for channels, size in product((1, 2, 3, 4), [(16, 16), (28, 28), (48, 96), *OTHER_SIZES]):
            shape = [channels, *size]
            # A discriminator may be given more channels than images have: several images, or the class as maps.
            if channels in (2, 4) and model.accepts is not None and 3 in model.accepts.channels:
                continue
            with torch.device("meta"):
                if accepts_shape(model.accepts, shape):
                    instantiate(player, shape=shape)
                else:
                    with pytest.raises(InstantiationException, match=re.escape(f"data.shape={shape}")):
                        instantiate(player, shape=shape)


@pytest.mark.usefixtures("without_spectral_norm")
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("model", ["dcgan", "resnet", "sagan", "biggan", "r3gan", "autoencoder"])
def test_a_model_makes_and_scores_images_of_every_size(model: str, size: tuple[int, int]) -> None:
    shape = (3, *size)
    with torch.device("meta"):
        generator, discriminator = make_pair(model, shape, (-1, 1))
        labels = torch.zeros(2, dtype=torch.long)
        images = generator(Latent(torch.randn(2, DIM), labels=labels))
        assert images.shape == (2, *shape)
        assert discriminate(discriminator, images, labels).logits.shape == (2,)
