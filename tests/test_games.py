"""Every experiment as a game: both players learn with all their weights, and nothing of it is lost in a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.compose import STAND_INS, answers, composed, job_part
from helpers.tiny_gan import quiet_trainer
from hydra.utils import instantiate
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from gan_lightning.gan import GAN

ITERATIONS = 3
UNFELT = {
    **dict.fromkeys(("rpgan", "r3gan", "wgan", "wgan_gp"), {"discriminator.score.1.bias"}),
    "ring_r3gan": {"discriminator.score.bias"},
}
"""Weights whose gradient is 0, up to rounding, by the theory: of differences of scores, a constant is no part."""


class Watching(Callback):
    """Notes what the weights were, which of them have had a gradient other than zero, and saves before the last turns.

    Args:
        path: of the checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.learning: set[str] = set()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.first = {name: weight.detach().clone() for name, weight in pl_module.named_parameters()}

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        found = {name for name, weight in pl_module.named_parameters() if weight.grad is not None and weight.grad.any()}
        self.learning |= found

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if pl_module.iterations == ITERATIONS - 1 and not self.path.exists():
            trainer.save_checkpoint(self.path)


def play_experiment(name: str, callbacks: list[Callback], ckpt_path: Path | None = None) -> tuple[GAN, Trainer]:
    """The experiment with small batches for a few iterations, from a checkpoint on if there is one."""
    small = (f"max_iterations={ITERATIONS}", "data.batch_size=8")
    with composed(f"experiment={name}", *STAND_INS.get(name, ()), *small) as config:
        job = job_part(config)
        torch.manual_seed(0)
        gan: GAN = instantiate(job.gan, _convert_="all")
        data = instantiate(job.data, _convert_="all")
    trainer = quiet_trainer(callbacks=callbacks)
    trainer.fit(gan, datamodule=data, ckpt_path=ckpt_path)
    assert gan.iterations == ITERATIONS
    return gan, trainer


def everything(trainer: Trainer, path: Path) -> dict[str, Any]:
    """All that a checkpoint keeps of the game, by dotted names."""
    trainer.save_checkpoint(path)
    content = torch.load(path, weights_only=True)
    kept = {name: content[name] for name in ("state_dict", "optimizer_states", "lr_schedulers", "game")}
    return dict(leaves(kept))


def leaves(value: Any, name: str = "") -> Any:
    """Every tensor and number within `value`, with where it stands."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, f"{name}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from leaves(part, f"{name}.{index}")
    else:
        yield name, value


@pytest.mark.parametrize("name", answers("experiment"))
def test_every_weight_learns_and_a_run_that_goes_on_is_the_run_that_was_not_stopped(name: str, tmp_path: Path):
    watching = Watching(tmp_path / "stopped.ckpt")
    gan, whole = play_experiment(name, [watching])
    weights = {key: weight for key, weight in gan.named_parameters() if weight.requires_grad}
    assert watching.learning >= set(weights) - UNFELT.get(name, set())
    for player in ("generator", "discriminator"):
        moved = [not torch.equal(weights[key], watching.first[key]) for key in weights if key.startswith(player)]
        assert any(moved)

    _, resumed = play_experiment(name, [], ckpt_path=watching.path)
    wanted = everything(whole, tmp_path / "whole.ckpt")
    found = everything(resumed, tmp_path / "resumed.ckpt")
    assert set(found) == set(wanted)
    for key, value in wanted.items():
        same = torch.equal(found[key], value) if isinstance(value, Tensor) else found[key] == value
        assert same, key
