"""Images on disk beside images in memory, and beside torchvision's ImageFolder behind a DataLoader.

    python -m benchmarks.image_folder
    python -m benchmarks.image_folder --images 2000 --rounds 1     # quick

Drawn shapes of 64 pixels are written as PNGs. The same DCGAN is trained on them three times a round, in turns:

- memory: decoded once, held as uint8 tensors (data.in_memory=true);
- cache: decoded once into the memory-mapped file of the cache (data.in_memory=cache);
- torchvision: each file decoded again in every epoch, by torchvision.datasets.ImageFolder and a DataLoader with as many
  workers as there are cores.

The clock starts after one epoch. Loading alone is timed too, over an epoch without networks. Beside the seconds that
pass stands the time of the training process on CPUs, which other work on the machine changes little; that of worker
processes is not in it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from hydra.utils import instantiate
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder as TorchvisionDataset
from torchvision.transforms import Compose, Normalize, ToTensor

from benchmarks.common import (
    SHOWN,
    Stopwatch,
    arguments_of,
    composed,
    cores,
    in_turns,
    platform_speed,
    positive,
    prepare,
    present,
    ratios,
    spread,
)
from gan_lightning.data.image_folder import ImageFolder
from gan_lightning.data.shapes import SHAPES, draw_factors, render
from gan_lightning.sampling.output import save_image
from gan_lightning.utils.conf import plain

SIDE = 64
SETTINGS = {
    "memory": ("data.in_memory=true",),
    "cache": ("data.in_memory=cache",),
    "torchvision": (
        *("data._target_=benchmarks.image_folder.TorchvisionFolder", "data.in_memory=false"),
        f"data.num_workers={cores()}",
    ),
}
"""Overrides of the contenders."""

QUIET = (*SHOWN, "model=dcgan", "metrics=none", "callbacks.samples=null", "callbacks.health=null")


class TorchvisionFolder(ImageFolder):
    """The same images behind torchvision's dataset and PyTorch's DataLoader, as most training scripts read them."""

    def train_dataloader(self) -> Any:
        """Return endless batches (images in [-1, 1], classes)."""
        dataset = TorchvisionDataset(str(self.root), Compose([ToTensor(), Normalize((0.5,) * 3, (0.5,) * 3)]))
        workers: dict[str, Any] = {"num_workers": self.num_workers, "persistent_workers": self.num_workers > 0}
        loader: DataLoader[Any] = DataLoader(dataset, self.batch_size, shuffle=True, drop_last=True, **workers)
        return Endless(loader)


class Endless:
    """Epoch after epoch of a loader."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return ((images, labels) for images, labels in chain.from_iterable(repeat(self.loader)))


def write_images(folder: Path, count: int) -> None:
    """Write `count` PNGs of drawn shapes below `folder`, a folder for each kind."""
    for name in SHAPES:
        (folder / name).mkdir(parents=True)
    rng, written = torch.Generator().manual_seed(0), 0
    while written < count:
        factors = draw_factors(min(500, count - written), rng)
        for image, shape in zip(render(factors, SIDE), factors.shape.tolist(), strict=True):
            save_image(image.mul(255).round().to(torch.uint8), folder / SHAPES[shape] / f"{written}.png")
            written += 1


def overrides_of(name: str, root: Path, more: Sequence[str]) -> list[str]:
    """Return the command line of a contender over the images in `root`."""
    data = ("data=image_folder", f"data.root='{root}'", f"data.image_size={SIDE}")
    return [*data, *QUIET, *SETTINGS[name], *more]


def loading_ms(overrides: Sequence[str], batches: int) -> float:
    """Return the milliseconds that a batch takes without networks, after as many batches to warm up."""
    with TemporaryDirectory() as folder:
        data = instantiate(plain(composed(overrides, Path(folder)))["data"], _convert_="all")
    data.setup("fit")
    loader = iter(data.train_dataloader())
    for _ in islice(loader, batches):
        pass
    started = time.perf_counter()
    for _ in islice(loader, batches):
        pass
    return (time.perf_counter() - started) / batches * 1000


def measure(root: Path, rounds: int, warm_up: int, iterations: int, more: Sequence[str] = ()) -> Table:
    """Return the table of updates a second, of CPU time, and of milliseconds that loading a batch takes."""
    lines = {name: overrides_of(name, root, more) for name in SETTINGS}
    cpu: dict[str, list[float]] = {name: [] for name in SETTINGS}

    def updates(name: str) -> float:
        stopwatch = Stopwatch()
        speed = platform_speed(lines[name], warm_up, iterations, stopwatch)
        cpu[name].append(stopwatch.cpu_seconds / iterations * 1000)
        return speed.iterations

    speeds = in_turns({name: partial(updates, name) for name in SETTINGS}, rounds)
    loading = in_turns({name: partial(loading_ms, line, warm_up) for name, line in lines.items()}, rounds)
    table = Table("", "updates/s", "of in-memory data", "CPU ms an update", "of in-memory data", "ms to load a batch")
    for name in SETTINGS:
        shares = [median(ratios(each[name], each["memory"])) for each in (speeds, cpu)]
        row = (spread(speeds[name]), f"{shares[0]:.2f}", spread(cpu[name]), f"{shares[1]:.2f}", spread(loading[name]))
        table.add_row(name, *row)
    return table


def main() -> None:
    """Run the command line."""
    parser = arguments_of(__doc__, rounds=3, iterations=100, warm_up=313)
    parser.add_argument("--images", type=positive, default=20_000, help="how many PNGs (default: 20000)")
    arguments = parser.parse_args()
    prepare()
    with TemporaryDirectory() as folder:
        os.environ["GAN_LIGHTNING_CACHE"] = f"{folder}/cache"
        root = Path(folder, "images")
        write_images(root, arguments.images)
        present(measure(root, arguments.rounds, arguments.warm_up, arguments.iterations), f"{arguments.images} PNGs")


if __name__ == "__main__":
    main()
