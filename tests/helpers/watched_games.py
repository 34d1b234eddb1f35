"""Small games that a callback watches, for tests."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Adam

from gan_lightning.callbacks.evaluation import Evaluation
from gan_lightning.callbacks.health import Health
from gan_lightning.data import toys
from gan_lightning.data.base import RealData
from gan_lightning.data.toys import ToyData
from gan_lightning.ema import Averaging
from gan_lightning.game import Latent, Objective
from gan_lightning.gan import GAN
from gan_lightning.losses.adversarial import NonSaturating
from gan_lightning.models.mlp import MLPDiscriminator, MLPGenerator
from gan_lightning.priors import Gaussian
from helpers.tiny_gan import Learned, quiet_trainer


def data(mean: float = 3.0) -> ToyData:
    return toys.gaussian(mean, 0.5, shape=[1], batch_size=32, seed=0)


def game(
    generator: nn.Module | None = None,
    discriminator: nn.Module | None = None,
    objectives: dict[str, Objective] | None = None,
    max_iterations: int = 6,
    rates: tuple[float, float] = (1e-3, 1e-3),
    optimizer: Any = Adam,
) -> GAN:
    torch.manual_seed(0)
    return GAN(
        generator or MLPGenerator(latent_dim=2, shape=[1], value_range=None, width=16, depth=1, batch_norm=True),
        discriminator or MLPDiscriminator(shape=[1], width=16, depth=1),
        Gaussian(2),
        objectives or {"adversarial": NonSaturating()},
        partial(optimizer, lr=rates[0]),
        partial(optimizer, lr=rates[1]),
        Averaging(20, ramp_up=None),
        max_iterations,
    )


def play(gan: GAN, *callbacks: Callback, source: RealData | None = None, **settings: Any) -> Trainer:
    path = settings.pop("ckpt_path", None)
    trainer = quiet_trainer(callbacks=list(callbacks), **settings)
    trainer.fit(gan, datamodule=source or data(), ckpt_path=path)
    return trainer


def found(health: Health) -> list[tuple[str, int, int | None]]:
    return [(record["symptom"], record["since"], record["until"]) for record in health.records]


class Constant(nn.Module):
    """A generator that has collapsed: whatever it is fed, it makes its one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.point = nn.Parameter(torch.zeros(1))

    def forward(self, latent: Latent) -> Tensor:
        return self.point + 0 * latent.z[:, :1]


class Scripted(Evaluation):
    """Evaluations whose outcome is written down."""

    def __init__(self, key: str, values: list[float]) -> None:
        super().__init__(every=2, metrics={}, num_fakes=2)
        self.key, self.values = key, values

    def run(self, trainer: Trainer, gan: GAN) -> None:
        gan.metrics[self.key] = self.values[gan.iterations // 2 - 1]
        if self.key == "val/fid":
            self.monitor = self.key
            self.remember(gan.metrics[self.key], gan.iterations)


class Watch(Learned):
    """Writes `watched.json`, which weights are trainable, learned and moved, and saves `watched.ckpt` at an iteration.

    Args:
        folder: of both files.
        iteration: of the checkpoint.
    """

    def __init__(self, folder: str, iteration: int) -> None:
        super().__init__()
        self.folder, self.iteration = Path(folder), iteration

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.first = {name: weight.detach().clone() for name, weight in pl_module.named_parameters()}

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if pl_module.iterations == self.iteration and not (self.folder / "watched.ckpt").exists():
            trainer.save_checkpoint(self.folder / "watched.ckpt")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainable = {name: weight for name, weight in pl_module.named_parameters() if weight.requires_grad}
        moved = [name for name, weight in trainable.items() if not torch.equal(weight, self.first[name])]
        found = {"trainable": list(trainable), "learned": sorted(self.names), "moved": moved}
        (self.folder / "watched.json").write_text(json.dumps(found))
