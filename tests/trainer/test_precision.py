"""Gradient scales, with float16 on the CPU: slow there, and the same arithmetic."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tiny_gan import play, tiny_gan, weights
from torch import Tensor

from gan_lightning.game import Objective, Round
from gan_lightning.losses.adversarial import NonSaturating
from gan_lightning.trainer.precision import HalfPrecision, ScalePerPlayer

SGD = partial(torch.optim.SGD, lr=0.1)


@pytest.mark.parametrize(
    "settings",
    [
        *({}, {"micro_batches": 3}, {"share_fakes": True}, {"discriminator_steps": 2}),
        {"share_fakes": True, "discriminator_steps": 2},
    ],
)
def test_casting_each_weight_once_changes_nothing(settings: dict[str, Any]):
    """Against Lightning's own autocast, which casts at every pass: stale copies would show."""
    ours, lightnings = (tiny_gan(optimizer=SGD, max_iterations=4, batch_norm=True, **settings) for _ in range(2))
    play(ours, size=9, plugins=[HalfPrecision("bf16-mixed", "cpu")])
    play(lightnings, size=9, precision="bf16-mixed")
    for name, tensor in lightnings.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor, rtol=1e-2, atol=1e-4, msg=name)


class Overflowing(Objective):
    """The discriminator's gradient overflows in its second step."""

    def discriminator(self, round: Round) -> Tensor | None:
        return round.real_logits.float().mean() * 1e38 if round.discriminator_updates == 1 else None


def test_an_overflow_of_one_player_is_skipped_and_leaves_the_others_scale():
    scaling = ScalePerPlayer("cpu", initial_scale=2.0**10)
    once = tiny_gan(optimizer=SGD, max_iterations=1)
    play(once, plugins=[ScalePerPlayer("cpu", initial_scale=2.0**10)])
    twice = tiny_gan({"adversarial": NonSaturating(), "overflow": Overflowing()}, optimizer=SGD, max_iterations=2)
    play(twice, plugins=[scaling])
    assert torch.equal(weights(twice.discriminator), weights(once.discriminator))
    assert not torch.equal(weights(twice.generator), weights(once.generator))
    assert scaling.scalers["discriminator"].get_scale() == 2.0**9
    assert scaling.scalers["generator"].get_scale() == 2.0**10


def test_float16_trains_both_players_as_float32_does():
    half, exact = (tiny_gan(optimizer=SGD, max_iterations=1) for _ in range(2))
    before = {player: weights(getattr(half, player)) for player in ("generator", "discriminator")}
    play(half, plugins=[ScalePerPlayer("cpu")])
    play(exact)
    for player, old in before.items():
        step, wanted = weights(getattr(half, player)) - old, weights(getattr(exact, player)) - old
        torch.testing.assert_close(step, wanted, rtol=2e-2, atol=2e-4)


def test_scales_go_with_the_checkpoint(tmp_path: Path):
    scaling = ScalePerPlayer("cpu", initial_scale=2.0**10)
    gan = tiny_gan({"adversarial": NonSaturating(), "overflow": Overflowing()}, optimizer=SGD, max_iterations=2)
    play(gan, plugins=[scaling]).save_checkpoint(tmp_path / "last.ckpt")
    restored = ScalePerPlayer("cpu")
    play(tiny_gan(optimizer=SGD, max_iterations=3), plugins=[restored], ckpt_path=tmp_path / "last.ckpt")
    assert restored.scalers["discriminator"].get_scale() == 2.0**9
    assert restored.scalers["generator"].get_scale() == 2.0**10
    assert restored.scalers["generator"].state_dict()["_growth_tracker"] == 3
