"""Training speed on the 1-D toy beside a plain PyTorch loop of the same networks, in one process, in turns.

    python -m benchmarks.toy_speed

The platform's side is ``python train.py experiment=gaussian ~loss.objectives.r1 schedule=constant logger=csv`` as users
run it, progress bar and logged losses included; evaluations, pictures, checkpoints and the penalty are left out, which
the plain loop has not. That loop is what a tutorial writes: the same networks, batches and Adam, no logging at all.
What counts is the ratio of the two.
"""

from __future__ import annotations

from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.table import Table
from torch import Tensor
from torch.nn.functional import softplus

from benchmarks.common import (
    SHOWN,
    arguments_of,
    composed,
    in_turns,
    loop_speed,
    platform_speed,
    positive,
    prepare,
    present,
    ratios,
    spread,
)
from gan_lightning.game import Latent

SETTINGS = (
    "experiment=gaussian",
    "~loss.objectives.r1",
    "schedule=constant",
    "callbacks.evaluation=null",
    "callbacks.checkpoint=null",
    "callbacks.density=null",
    "trainer.accelerator=cpu",
)


class PlainLoop:
    """The toy's game without a framework; a call is one iteration.

    Args:
        config: what train.py composes for the toy.
    """

    def __init__(self, config: DictConfig) -> None:
        self.generator = instantiate(config.model.generator)
        self.discriminator = instantiate(config.model.discriminator)
        settings, betas = config.optimizer, tuple(config.optimizer.betas)
        self.of_generator = torch.optim.Adam(self.generator.parameters(), lr=settings.generator.lr, betas=betas)
        self.of_discriminator = torch.optim.Adam(
            self.discriminator.parameters(), lr=settings.discriminator.lr, betas=betas
        )
        self.batch, self.dim = config.data.batch_size, config.prior.dim
        self.low, self.high = config.prior.low, config.prior.high
        self.mean, self.std = config.data.mean, config.data.std

    def __call__(self) -> int:
        """Update both players; returns how many real samples that took."""
        real = torch.randn(self.batch, 1) * self.std + self.mean
        fake = self.generator(self.noise()).detach()
        loss = softplus(-self.scores(real)).mean() + softplus(self.scores(fake)).mean()
        self.of_discriminator.zero_grad()
        loss.backward()
        self.of_discriminator.step()
        loss = softplus(-self.scores(self.generator(self.noise()))).mean()
        self.of_generator.zero_grad()
        loss.backward()
        self.of_generator.step()
        return self.batch

    def noise(self) -> Latent:
        """Draw a batch of the generator's inputs."""
        return Latent(torch.rand(self.batch, self.dim) * (self.high - self.low) + self.low)

    def scores(self, samples: Tensor) -> Tensor:
        """Return the discriminator's logits."""
        logits: Tensor = self.discriminator(samples).logits
        return logits


def measure(rounds: int, iterations: int, warm_up: int) -> dict[str, list[float]]:
    """Return iterations a second of both sides, a number a round."""
    config = composed([*SETTINGS, *SHOWN], Path())
    return in_turns(
        {
            "plain loop": lambda: loop_speed(PlainLoop(config), warm_up, iterations).iterations,
            "platform": lambda: platform_speed([*SETTINGS, *SHOWN], warm_up, iterations).iterations,
        },
        rounds,
    )


def table_of(measured: dict[str, list[float]]) -> Table:
    """Return the measurements as a table."""
    table = Table("contender", "iterations/s", "of the plain loop", title="1-D Gaussian, medians (range)")
    for name, speeds in measured.items():
        beside = "" if name == "plain loop" else spread(ratios(speeds, measured["plain loop"]))
        table.add_row(name, spread(speeds, 0), beside)
    return table


def main() -> None:
    """Measure and print."""
    parser = arguments_of(__doc__, rounds=7, iterations=2700, warm_up=300)
    parser.add_argument("--threads", type=positive, default=1, help="of PyTorch (default: 1)")
    arguments = parser.parse_args()
    prepare(arguments.threads)
    present(table_of(measure(arguments.rounds, arguments.iterations, arguments.warm_up)))


if __name__ == "__main__":
    main()
