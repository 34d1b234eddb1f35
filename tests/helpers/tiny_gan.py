"""Small games for tests: tiny networks, a fixed stream of batches, a quiet trainer."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_lightning.ema import Averaging
from gan_lightning.game import DiscriminatorOutput, Latent, Objective, Round
from gan_lightning.gan import GAN
from gan_lightning.losses.adversarial import NonSaturating
from gan_lightning.priors import Gaussian


class TinyGenerator(nn.Module):
    def __init__(self, batch_norm: bool = False) -> None:
        super().__init__()
        norm = nn.BatchNorm1d(5) if batch_norm else nn.Identity()
        self.layers = nn.Sequential(nn.Linear(3, 5), norm, nn.Tanh(), nn.Linear(5, 2))

    def forward(self, latent: Latent) -> Tensor:
        return self.layers(latent.z)


class TinyDiscriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 5), nn.LeakyReLU(0.2))
        self.score = nn.Linear(5, 1)

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        features = self.layers(samples)
        return DiscriminatorOutput(self.score(features).squeeze(1), features)


class Drifting(Objective):
    """Draws the fakes to a moving mean of the data: state that every step moves, and that enters the loss."""

    centre: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(2))

    def generator(self, round: Round) -> Tensor:
        return (round.fake - self.centre).square().mean()

    def after_discriminator_step(self, round: Round) -> None:
        self.centre.lerp_(round.real.mean(0), 0.1)


class Signalled(Callback):
    """Sends a signal at the start of a step, by default SIGTERM, as a scheduler does."""

    def __init__(self, step: int, number: int = signal.SIGTERM) -> None:
        self.step, self.number = step, number

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: object) -> None:
        if pl_module.discriminator_updates == self.step:
            signal.raise_signal(self.number)


class Boom(Callback):
    """Crashes in the first step."""

    def on_train_batch_start(self, *args: object) -> None:
        raise RuntimeError("boom")


class Learned(Callback):
    """Notes which weights have had a gradient other than 0 at a step."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        gradients = {name: weight.grad for name, weight in pl_module.named_parameters()}
        assert all(gradient is None or gradient.isfinite().all() for gradient in gradients.values())
        self.names |= {name for name, gradient in gradients.items() if gradient is not None and gradient.any()}


class Batches:
    """Endless batches, each a function of the step."""

    def __init__(self, gan: GAN, size: int = 8) -> None:
        self.gan, self.size = gan, size

    def __iter__(self) -> Iterator[tuple[Tensor, None]]:
        step = self.gan.discriminator_updates
        while True:
            yield batch_of(step, self.size), None
            step += 1


def batch_of(step: int, size: int = 8) -> Tensor:
    return torch.randn(size, 2, generator=torch.Generator().manual_seed(step)) + 2


def tiny_gan(
    objectives: Mapping[str, Objective] | None = None,
    *,
    optimizer: Any = None,
    batch_norm: bool = False,
    **settings: Any,
) -> GAN:
    torch.manual_seed(0)
    optimizer = optimizer or partial(torch.optim.Adam, lr=1e-2, betas=(0.5, 0.999))
    defaults: dict[str, Any] = {
        "generator_optimizer": optimizer,
        "discriminator_optimizer": optimizer,
        "averaging": Averaging(20, ramp_up=None),
        "max_iterations": 3,
    }
    return GAN(
        TinyGenerator(batch_norm),
        TinyDiscriminator(),
        Gaussian(3),
        objectives or {"adversarial": NonSaturating()},
        **{**defaults, **settings},
    )


def quiet_trainer(**settings: Any) -> Trainer:
    return Trainer(
        max_epochs=-1,
        limit_val_batches=0,
        enable_checkpointing=any(isinstance(part, Checkpoint) for part in settings.get("callbacks") or []),
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"accelerator": "cpu", "logger": False, **settings},
    )


def play(gan: GAN, size: int = 8, ckpt_path: Any = None, **settings: Any) -> Trainer:
    trainer = quiet_trainer(**settings)
    trainer.fit(gan, Batches(gan, size), ckpt_path=ckpt_path)
    return trainer


def weights(network: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
