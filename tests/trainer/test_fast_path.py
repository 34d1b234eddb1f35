"""Lightning is left out where nobody would notice, and asked wherever somebody would."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from helpers.tiny_gan import play, tiny_gan, weights
from lightning import Callback

from gan_lightning import gan as game_module
from gan_lightning.callbacks.periodic import Periodic
from gan_lightning.gan import GAN


class Acting(Periodic):
    def __init__(self, every: int) -> None:
        super().__init__(every)
        self.at: list[int] = []

    def run(self, trainer: Any, gan: GAN) -> None:
        self.at.append(gan.iterations)


class Looking(Callback):
    """Takes part in every turn; says when it wants to only if `next_iteration` is given."""

    def __init__(self) -> None:
        self.at: list[int] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
        self.at.append(pl_module.discriminator_updates)


class Patient(Looking):
    def next_iteration(self, iterations: int) -> float:
        return math.inf


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(game_module, "LONGEST_SECONDS", 60.0)


def test_callbacks_act_at_their_iterations_and_lightning_is_asked_only_then():
    often, seldom, looking = Acting(3), Acting(5), Patient()
    gan = tiny_gan(max_iterations=11, discriminator_steps=2)
    play(gan, callbacks=[often, seldom, looking])
    assert often.at == [3, 6, 9, 11]
    assert seldom.at == [5, 10, 11]
    assert looking.at == [2 * iteration for iteration in (3, 5, 6, 9, 10, 11)]


def test_who_takes_part_in_every_turn_is_called_at_every_turn():
    looking = Looking()
    play(tiny_gan(max_iterations=3, discriminator_steps=2), callbacks=[Acting(2), looking])
    assert looking.at == [1, 2, 3, 4, 5, 6]


def test_lightning_is_asked_soon_even_if_nobody_is_to_act(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(game_module, "LONGEST_SECONDS", 0.0)
    looking = Patient()
    play(tiny_gan(max_iterations=3), callbacks=[looking])
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
    trainers = [play(watched, callbacks=[stepping, Looking()]), play(unwatched)]
    assert stepping.steps == 8
    assert [trainer.global_step for trainer in trainers] == [8, 8]
    for player in ("generator", "discriminator"):
        assert torch.equal(weights(getattr(watched, player)), weights(getattr(unwatched, player)))
