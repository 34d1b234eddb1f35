"""Games on two ranks, each a process of its own that talks over localhost, for tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from gan_lightning.callbacks.stop import Stop
from gan_lightning.game import Objective, Round
from gan_lightning.losses.adversarial import NonSaturating, Wasserstein
from gan_lightning.regularizers.gradient_penalties import R1, GradientPenalty
from gan_lightning.trainer.strategy import GameStrategy
from helpers.evaluated_games import evaluation, fit
from helpers.tiny_gan import Batches, quiet_trainer, tiny_gan

SIZE = 8
"""Samples of the global batch."""

RANK = "RANK_OF_THE_TEST"
"""Tells a process that it is one of two. Other tests leave Lightning's own variables behind."""

SGD = partial(torch.optim.SGD, lr=0.1)


class Following(Objective):
    """State that follows the scores of the fakes and weighs them, within bounds, as BEGAN's k does."""

    level: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("level", torch.zeros(()))

    def discriminator(self, round: Round) -> Tensor:
        return self.level * round.fake_logits.mean()

    def after_discriminator_step(self, round: Round) -> None:
        self.level = (self.level + 0.3 * round.global_mean(round.fake_logits)).clamp(0, 1)


GAMES: dict[str, dict[str, Any]] = {
    "gan": {},
    "adam": {"optimizer": partial(torch.optim.Adam, lr=1e-3)},
    "wgan_gp": {"objectives": {"adversarial": Wasserstein(), "gp": GradientPenalty()}, "discriminator_steps": 2},
    "stateful": {"objectives": {"adversarial": NonSaturating(), "following": Following()}, "discriminator_steps": 2},
    "lazy": {"objectives": {"adversarial": NonSaturating(), "r1": R1(1.0, every=2)}},
    "micro_batches": {"objectives": {"adversarial": Wasserstein(), "gp": GradientPenalty()}, "micro_batches": 2},
    "shared": {"share_fakes": True, "micro_batches": 2},
    "clipped": {"clip_gradient_norm": 0.01},
}
"""Games without batch norm: any number of devices plays the same one."""


def played(name: str, **settings: Any) -> dict[str, Tensor]:
    """The state after a few iterations of `GAMES[name]`."""
    game: dict[str, Any] = {"optimizer": SGD, "max_iterations": 3, **GAMES[name]}
    gan = tiny_gan(**game)
    ranks = 1 if RANK not in os.environ else 2
    play_rows(gan, ranks, **settings)
    return {key: tensor.clone() for key, tensor in gan.state_dict().items()}


def play_rows(gan: Any, ranks: int, **settings: Any) -> None:
    """Play with this rank's rows of the batches that one process plays whole."""

    class Rows(Batches):
        def __iter__(self) -> Iterator[tuple[Tensor, None]]:
            rank = int(os.environ.get(RANK, "0"))
            for batch, labels in super().__iter__():
                yield batch.chunk(ranks)[rank], labels

    quiet_trainer(**settings).fit(gan, Rows(gan, SIZE))


def on_two_ranks(folder: Path) -> list[dict[str, Any]]:
    """What `main` finds on each of two ranks."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"}
    environment |= {"WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parents[2])])
    command = [sys.executable, "-m", "helpers.two_ranks", str(folder)]
    ranks = [
        subprocess.Popen(command, env={**environment, "LOCAL_RANK": str(rank), RANK: str(rank)}) for rank in range(2)
    ]
    assert [rank.wait(timeout=300) for rank in ranks] == [0, 0]
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def sizes_of_messages(play: Callable[[], object]) -> list[int]:
    """How many numbers went around in each message while `play` ran."""
    sizes: list[int] = []
    original = dist.all_reduce

    def counted(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        sizes.append(tensor.numel())
        return original(tensor, *args, **kwargs)

    dist.all_reduce = counted
    try:
        play()
    finally:
        dist.all_reduce = original
    return sizes


def stopped_early(stop: Stop, **settings: Any) -> tuple[int, str | None]:
    """The iterations that a game made whose weights do not move, so that no evaluation is better, and why it ended."""
    gan = tiny_gan(optimizer=partial(torch.optim.SGD, lr=0.0), max_iterations=6)
    fit(gan, evaluation(1, monitor="val/mean"), stop, **settings)
    return gan.iterations, stop.reason


def main(folder: Path) -> None:
    """Play every game on this rank, count the messages of one, and end two early."""
    found: dict[str, Any] = {}
    two = {"devices": 2, "use_distributed_sampler": False}
    for name in GAMES:
        found[name] = played(name, strategy=GameStrategy(), **two)
    found["messages"] = sizes_of_messages(lambda: played("micro_batches", strategy=GameStrategy(), **two))
    gan = tiny_gan(batch_norm=True)
    play_rows(gan, 2, strategy=GameStrategy(), **two)
    found["batch norm"] = {key: tensor.clone() for key, tensor in gan.state_dict().items()}
    found["patience"] = stopped_early(Stop(1, patience=1), strategy=GameStrategy(), **two)
    clock = Stop(1, max_hours=1)
    clock.load_state_dict({"evaluations": 0, "seconds": 7200 if os.environ[RANK] == "0" else 0})
    found["clock"] = stopped_early(clock, strategy=GameStrategy(), **two)
    torch.save(found, folder / f"{os.environ['LOCAL_RANK']}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
