"""Compiled networks play the same game. Graphs are traced and differentiated as always, but need no C++ compiler."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from helpers.tiny_gan import Batches, quiet_trainer, tiny_gan
from torch import nn
from torch._dynamo.utils import counters
from torch.nn.utils.parametrizations import spectral_norm

from gan_lightning.gan import GAN
from gan_lightning.losses.adversarial import NonSaturating, Wasserstein
from gan_lightning.regularizers.gradient_penalties import R1, GradientPenalty
from gan_lightning.trainer.compile import Compile

SGD = partial(torch.optim.SGD, lr=0.1)

GAMES: dict[str, dict[str, Any]] = {
    "gan": {"batch_norm": True},
    "r1": {"objectives": {"adversarial": NonSaturating(), "r1": R1(1.0, every=2)}},
    "wgan_gp": {"objectives": {"adversarial": Wasserstein(), "gp": GradientPenalty()}, "discriminator_steps": 2},
    "shared": {"share_fakes": True},
    "micro_batches": {"micro_batches": 2},
}


@pytest.fixture(autouse=True)
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`compile` without the last step, which would take a C++ compiler many seconds."""
    torch.compiler.reset()
    original = nn.Module.compile

    def compile(module: nn.Module, *, mode: str, dynamic: bool) -> None:
        original(module, backend="aot_eager", dynamic=dynamic)

    monkeypatch.setattr(nn.Module, "compile", compile)
    yield
    torch.compiler.reset()


def play(gan: GAN, *callbacks: Compile, **settings: Any) -> None:
    quiet_trainer(callbacks=list(callbacks), **settings).fit(gan, Batches(gan))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", GAMES)
def test_a_compiled_game_is_the_same_game(name: str, precision: Any):
    compiled, plain = (tiny_gan(max_iterations=4, **GAMES[name]) for _ in range(2))
    play(plain, precision=precision)
    play(compiled, Compile(), precision=precision)
    tolerance = 1e-5 if precision == "32-true" else 3e-2
    for key, tensor in plain.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[key], tensor, rtol=tolerance, atol=tolerance, msg=key)


class Graphs(Compile):
    """Counts the graphs after the first iteration and at the end."""

    def on_train_start(self, *args: Any) -> None:
        counters.clear()
        super().on_train_start(*args)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if pl_module.iterations == 1:
            self.at_first = counters["stats"]["unique_graphs"]

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        pl_module.generate(pl_module.fixed_latents(5, "samples"))
        pl_module.score(torch.zeros(3, 2))
        self.in_the_end = counters["stats"]["unique_graphs"]
        self.while_playing = pl_module.state.compiled


@pytest.mark.parametrize("name", GAMES)
def test_nothing_is_compiled_after_the_first_iteration(name: str):
    """Through both players' updates, evaluations with other batches included."""
    graphs = Graphs()
    gan = tiny_gan(max_iterations=4, **GAMES[name])
    play(gan, graphs)
    assert graphs.while_playing
    assert 3 <= graphs.at_first <= 6
    assert graphs.in_the_end == graphs.at_first
    assert not gan.state.compiled


def test_where_it_cannot_work_one_line_says_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    def broken(module: nn.Module, *, mode: str, dynamic: bool) -> None:
        def fail(*args: Any) -> None:
            raise RuntimeError("no C++ compiler\nand much more")

        object.__setattr__(module, "_compiled_call_impl", fail)

    monkeypatch.setattr(nn.Module, "compile", broken)
    gan, plain = tiny_gan(), tiny_gan()
    play(plain)
    with caplog.at_level(logging.WARNING):
        play(gan, Compile())
    (record,) = (record for record in caplog.records if "compile" in record.message)
    assert record.message.endswith("cannot work here: no C++ compiler")
    for key, tensor in plain.state_dict().items():
        assert torch.equal(gan.state_dict()[key], tensor)


def test_a_mistake_of_a_network_is_raised_as_it_is():
    gan = tiny_gan()
    gan.discriminator.score = nn.Linear(7, 1)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        play(gan, Compile())


def test_spectral_norm_stays_uncompiled_and_one_line_says_so(caplog: pytest.LogCaptureFixture):
    gan = tiny_gan()
    gan.discriminator = nn.Sequential(spectral_norm(nn.Linear(2, 1)), nn.Flatten(0))
    gan.make_optimizers = (SGD, SGD)
    with caplog.at_level(logging.WARNING):
        play(gan, Compile())
    (record,) = (record for record in caplog.records if "compile" in record.message)
    assert "spectral norm" in record.message
    assert gan.iterations == 3


@pytest.mark.slow
def test_with_the_real_compiler(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.undo()
    gan, plain = (tiny_gan(**GAMES["r1"]) for _ in range(2))
    play(plain)
    with caplog.at_level(logging.WARNING):
        play(gan, Compile())
    assert not any("uncompiled" in record.message for record in caplog.records)
    for key, tensor in plain.state_dict().items():
        torch.testing.assert_close(gan.state_dict()[key], tensor, rtol=1e-4, atol=1e-5, msg=key)
