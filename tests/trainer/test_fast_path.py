"""Lightning is left out where nothing listens to it, and called wherever something does."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from helpers.tiny_gan import play, tiny_gan, weights
from lightning import Callback
from lightning.pytorch.plugins import MixedPrecision

from gan_lightning.callbacks.periodic import Periodic
from gan_lightning.gan import GAN
from gan_lightning.trainer import fast_path
from gan_lightning.trainer.fast_path import Pacing, SingleDevice


class Acting(Periodic):
    def __init__(self, every: int) -> None:
        super().__init__(every)
        self.at: list[int] = []

    def run(self, trainer: Any, gan: GAN) -> None:
        self.at.append(gan.iterations)


class Looking(Callback):
    """Takes part in every step; a subclass says by `next_iteration` when it must."""

    def __init__(self) -> None:
        self.at: list[int] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
        self.at.append(pl_module.discriminator_updates)


class Patient(Looking):
    def next_iteration(self, iterations: int) -> float:
        return math.inf


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_path, "LONGEST_SECONDS", 60.0)


def test_callbacks_act_at_their_iterations_and_lightning_is_called_only_then():
    often, seldom, looking = Acting(3), Acting(5), Patient()
    gan = tiny_gan(max_iterations=11, discriminator_steps=2)
    play(gan, callbacks=[Pacing(), often, seldom, looking])
    assert often.at == [3, 6, 9, 11]
    assert seldom.at == [5, 10, 11]
    assert looking.at == [2 * iteration for iteration in (3, 5, 6, 9, 10, 11)]


def test_a_callback_without_next_iteration_is_called_after_every_step():
    looking = Looking()
    play(tiny_gan(max_iterations=3, discriminator_steps=2), callbacks=[Pacing(), Acting(2), looking])
    assert looking.at == [1, 2, 3, 4, 5, 6]


def test_lightning_is_called_soon_even_if_no_callback_is_to_act(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fast_path, "LONGEST_SECONDS", 0.0)
    looking = Patient()
    play(tiny_gan(max_iterations=3), callbacks=[Pacing(), looking])
    assert looking.at == [1, 2, 3]


class Stepping(Callback):
    def __init__(self) -> None:
        self.steps = 0

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.steps += 1


@pytest.mark.parametrize("clip_gradient_norm", [None, 0.01])
def test_steps_are_watched_counted_and_the_same(clip_gradient_norm: float | None):
    stepping = Stepping()
    watched, unwatched = (tiny_gan(max_iterations=4, clip_gradient_norm=clip_gradient_norm) for _ in range(2))
    strategies = [SingleDevice(torch.device("cpu")) for _ in range(2)]
    trainers = [
        play(watched, callbacks=[stepping, Looking()], strategy=strategies[0]),
        play(unwatched, callbacks=[Pacing()], strategy=strategies[1]),
    ]
    assert [strategy.direct_step for strategy in strategies] == [False, clip_gradient_norm is None]
    assert [strategy.direct_backward for strategy in strategies] == [True, True]
    assert stepping.steps == 8
    assert [trainer.global_step for trainer in trainers] == [8, 8]
    for player in ("generator", "discriminator"):
        assert torch.equal(weights(getattr(watched, player)), weights(getattr(unwatched, player)))


def test_without_pacing_every_step_is_a_call_of_its_own():
    looking = Patient()
    play(tiny_gan(max_iterations=3), callbacks=[looking])
    assert looking.at == [1, 2, 3]


def test_the_pace_ends_with_the_fit():
    gan, looking = tiny_gan(max_iterations=3), Patient()
    play(gan, callbacks=[Pacing(), looking])
    gan.max_iterations = 5
    play(gan, callbacks=[looking])
    assert looking.at == [3, 4, 5]


def test_a_pace_ends_with_an_error():
    class Broken(Patient):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
            raise RuntimeError("broken")

    gan = tiny_gan(max_iterations=3)
    with pytest.raises(RuntimeError, match="broken"):
        play(gan, callbacks=[Pacing(), Broken()])
    assert "paced" not in vars(gan)


def test_a_gradient_scaler_keeps_lightnings_own_way():
    strategy = SingleDevice(torch.device("cpu"))
    precision = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    play(tiny_gan(), strategy=strategy, plugins=[precision])
    assert not strategy.direct_step
    assert not strategy.direct_backward
