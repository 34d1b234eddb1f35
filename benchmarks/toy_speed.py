"""Training speed on the 1-D toy beside a plain PyTorch loop of the same networks, in one process, in turns.

    python benchmarks/toy_speed.py            # 5 pairs; prints a table

The platform's side is ``python train.py experiment=gaussian schedule=constant logger=csv`` as users run it, progress
and logged losses included; evaluations, pictures and checkpoints are left out, which the plain loop has not. That loop
is what a tutorial writes: the same networks, batches and Adam, no logging at all. What counts is the ratio of the two.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from lightning import Callback, LightningModule, Trainer
from omegaconf import DictConfig, open_dict
from rich.console import Console
from rich.table import Table
from torch.nn.functional import softplus

from gan_lightning.cli.paths import conf_dir, register_resolvers
from gan_lightning.cli.session import ask_for_gpus_once, build, quieten
from gan_lightning.game import Latent

WARM_UP = 300
"""Iterations before the clock starts."""

SETTINGS = (
    "experiment=gaussian",
    "schedule=constant",
    "logger=csv",
    "callbacks.evaluation=null",
    "callbacks.checkpoint=null",
    "callbacks.density=null",
    "trainer.accelerator=cpu",
)


class Clock(Callback):
    """Notes when the warm-up is over and when training ends."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if pl_module.iterations == WARM_UP:
            self.start = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds = time.perf_counter() - self.start


def configuration(iterations: int, directory: Path) -> DictConfig:
    """The toy's configuration, as train.py composes it."""
    register_resolvers()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        overrides = [*SETTINGS, f"max_iterations={iterations}"]
        config = compose("train", overrides=overrides, return_hydra_config=True)
    with open_dict(config.hydra):
        config.hydra.runtime.output_dir = str(directory)
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    return config


def platform_speed(config: DictConfig, directory: Path) -> float:
    """Iterations a second of the platform."""
    datamodule, gan, trainer = build(config, directory)
    clock = Clock()
    getattr(trainer, "callbacks").append(clock)  # noqa: B009 (its type does not declare it)
    trainer.fit(gan, datamodule)
    return (gan.iterations - WARM_UP) / clock.seconds


def plain_speed(config: DictConfig) -> float:
    """Iterations a second of a loop without a framework."""
    generator, discriminator = (instantiate(config.model[player]) for player in ("generator", "discriminator"))
    settings, betas = config.optimizer, tuple(config.optimizer.betas)
    of_generator = torch.optim.Adam(generator.parameters(), lr=settings.generator.lr, betas=betas)
    of_discriminator = torch.optim.Adam(discriminator.parameters(), lr=settings.discriminator.lr, betas=betas)
    batch, low, high = config.data.batch_size, config.prior.low, config.prior.high

    dim, mean, std = config.prior.dim, config.data.mean, config.data.std

    def noise() -> Latent:
        return Latent(torch.rand(batch, dim) * (high - low) + low)

    start = 0.0
    for iteration in range(config.max_iterations):
        if iteration == WARM_UP:
            start = time.perf_counter()
        real = torch.randn(batch, 1) * std + mean
        fake = generator(noise()).detach()
        loss = softplus(-discriminator(real).logits).mean() + softplus(discriminator(fake).logits).mean()
        of_discriminator.zero_grad()
        loss.backward()
        of_discriminator.step()
        loss = softplus(-discriminator(generator(noise())).logits).mean()
        of_generator.zero_grad()
        loss.backward()
        of_generator.step()
    return (config.max_iterations - WARM_UP) / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="how often both are timed (default: 5)")
    parser.add_argument("--iterations", type=int, default=3000, help="iterations of each (default: 3000)")
    arguments = parser.parse_args()
    if arguments.iterations <= WARM_UP:
        parser.error(f"--iterations must be above the {WARM_UP} of the warm-up, not {arguments.iterations}")
    quieten()
    ask_for_gpus_once()
    pairs = []
    for _ in range(arguments.pairs):
        with TemporaryDirectory() as folder:
            config = configuration(arguments.iterations, Path(folder))
            pairs.append((platform_speed(config, Path(folder)), plain_speed(config)))
    table = Table("pair", "platform, iterations/s", "plain loop, iterations/s", "ratio")
    for number, (platform, plain) in enumerate(pairs, start=1):
        table.add_row(str(number), f"{platform:.0f}", f"{plain:.0f}", f"{platform / plain:.2f}")
    table.add_section()
    table.add_row("median", "", "", f"{median(platform / plain for platform, plain in pairs):.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
