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

from gan_lightning.game import Latent, Round
from gan_lightning.losses.adversarial import NonSaturating

CONF = Path(__file__).parents[2] / "conf"
SMALL_DCGAN = ("model.generator.width=4", "model.discriminator.width=4")
IMAGES = [(channels, size, size) for size in (28, 32, 64, 128) for channels in (1, 3)]
Shape = tuple[int, ...]
Range = tuple[int, int] | None
CASES: list[tuple[str, Shape, Range, tuple[str, ...]]] = [
    *(("mlp", shape, None, ()) for shape in ((1,), (2,))),
    *(("mlp", shape, (-1, 1), ()) for shape in ((1, 28, 28), (3, 5, 7))),
    ("mlp", (2,), None, ("model.generator.batch_norm=true", "model.discriminator.activation=Maxout")),
    *(("dcgan", shape, (-1, 1), SMALL_DCGAN) for shape in IMAGES),
    ("dcgan", (1, 28, 28), (-1, 1), (*SMALL_DCGAN, "loss.discriminator_norm=layer")),
    ("dcgan", (1, 32, 32), (-1, 1), (*SMALL_DCGAN, "loss.discriminator_norm=none")),
    ("cs231n", (1, 28, 28), (-1, 1), ()),
]


@cache
def choose(model: str, shape: Shape, value_range: Range, *overrides: str) -> DictConfig:
    """The model's file, with the facts that it reads from others."""
    bounds = "null" if value_range is None else str(list(value_range))
    facts = [
        "+prior.dim=6",
        f"+data.shape={list(shape)}",
        f"+data.value_range={bounds}",
        "+loss.discriminator_norm=batch",
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(overrides=[f"+model={model}", *facts, *overrides]).model


def make_pair(model: str, shape: Shape, value_range: Range, *overrides: str) -> tuple[Any, Any]:
    torch.manual_seed(0)
    chosen = choose(model, shape, value_range, *overrides)
    return instantiate(chosen.generator), instantiate(chosen.discriminator)


@pytest.mark.parametrize(("model", "shape", "value_range", "overrides"), CASES)
def test_a_pair_plays(model: str, shape: Shape, value_range: Range, overrides: tuple[str, ...]) -> None:
    generator, discriminator = make_pair(model, shape, value_range, *overrides)
    latent = Latent(torch.randn(8, 6))
    round = Round(generator, discriminator, latent, real=torch.randn(8, *shape), fake=generator(latent))
    assert round.fake.shape == (8, *shape)
    for output in (round.real_output, round.fake_output):
        assert output.logits.shape == (8,)
        assert output.logits.isfinite().all()
        assert output.features is not None
        assert len(output.features) == 8
        torch.testing.assert_close(discriminator.score(output.features).flatten(), output.logits)  # penultimate

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
    samples = generator(Latent(torch.randn(8, 6)))
    assert samples.isfinite().all()
    assert samples.abs().max() > 0.99
    assert (samples.abs().max() <= 1) == (value_range is not None)


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_only_batch_norm_mixes_samples(norm: str) -> None:
    _, discriminator = make_pair("dcgan", (1, 32, 32), (-1, 1), *SMALL_DCGAN, f"loss.discriminator_norm={norm}")
    images = torch.randn(4, 1, 32, 32)
    others = torch.cat([images[:1], 2 * images[1:]])
    first, again = (discriminator(batch).logits[0] for batch in (images, others))
    assert torch.allclose(first, again, rtol=1e-4, atol=1e-7) == (norm != "batch")


@pytest.mark.parametrize("path", sorted((CONF / "model").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shapes_a_model_says_it_accepts_are_those_it_can_make(path: Path) -> None:
    model = choose(path.stem, (1, 28, 28), (-1, 1))
    for player in (model.generator, model.discriminator):
        for channels, size in product((1, 2, 3, 4), (16, 28, 32, 64, 96, 128)):
            shape = [channels, size, size]
            with torch.device("meta"):
                if model.accepts is None or (size in model.accepts.image_sizes and channels in model.accepts.channels):
                    instantiate(player, shape=shape)
                else:
                    with pytest.raises(InstantiationException, match=re.escape(f"data.shape={shape}")):
                        instantiate(player, shape=shape)
