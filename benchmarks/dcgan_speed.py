"""Training speed of a DCGAN on digits of 32 pixels beside two loops written by hand, in one process, in turns.

    python -m benchmarks.dcgan_speed

The peers, with the same networks and Adam: the loop of PyTorch's DCGAN example, and the one an expert would tune, once
for each policy: fresh fakes for the generator's step, or those that the discriminator saw (see benchmarks/loops.py).
The platform's side is ``python train.py variant=none regularizer=[] data.image_size=32 data.batch_size=128 logger=csv``
as users run it, progress bar, logged losses and averaged generator included; evaluations, pictures, checkpoints, the
penalty and the clusters of the default are left out, which the loops have not.
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig
from rich.table import Table

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
from benchmarks.loops import PlainLoop, TunedLoop

SETTINGS = (
    "model=dcgan",
    "data=mnist10k",
    "variant=none",
    "regularizer=[]",
    "callbacks.evaluation=null",
    "callbacks.checkpoint=null",
    "callbacks.samples=null",
)

PLAIN = "PyTorch's example"
TUNED = "hand-tuned loop"
PLATFORM = "platform"
TUNED_SHARED = "hand-tuned, shared fakes"
PLATFORM_SHARED = "platform, share_fakes=true"

PEERS = {PLATFORM: TUNED, PLATFORM_SHARED: TUNED_SHARED}
"""The platform to the hand-tuned loop of the same policy."""


def overrides_of(size: int, batch: int, width: int | None) -> list[str]:
    """Return the overrides for train.py; a width of None is the model's own."""
    widths = [] if width is None else [f"model.generator.width={width}", f"model.discriminator.width={width}"]
    return [*SETTINGS, f"data.image_size={size}", f"data.batch_size={batch}", *widths]


def measure(
    overrides: list[str], *, rounds: int, iterations: int, warm_up: int, workers: int = 2
) -> dict[str, list[float]]:
    """Return images a second of every contender, a number a round."""
    on_cpu = [*overrides, *SHOWN, "trainer.accelerator=cpu"]

    def config() -> DictConfig:
        return composed(on_cpu, Path())

    def platform(*more: str) -> float:
        return platform_speed([*on_cpu, *more], warm_up, iterations).images

    def tuned(share_fakes: bool) -> float:
        return loop_speed(TunedLoop(config(), share_fakes=share_fakes), warm_up, iterations).images

    return in_turns(
        {
            PLAIN: lambda: loop_speed(PlainLoop(config(), workers), warm_up, iterations).images,
            TUNED: lambda: tuned(share_fakes=False),
            PLATFORM: platform,
            TUNED_SHARED: lambda: tuned(share_fakes=True),
            PLATFORM_SHARED: lambda: platform("share_fakes=true"),
        },
        rounds,
    )


def table_of(measured: dict[str, list[float]], title: str) -> Table:
    """Return the measurements as a table."""
    table = Table("contender", "images/s", "of the example", "of the hand-tuned", title=title)
    for name, speeds in measured.items():
        beside_plain = "" if name == PLAIN else spread(ratios(speeds, measured[PLAIN]))
        beside_tuned = spread(ratios(speeds, measured[PEERS[name]])) if name in PEERS else ""
        table.add_row(name, spread(speeds, 0), beside_plain, beside_tuned)
    return table


def main() -> None:
    """Measure and print."""
    parser = arguments_of(__doc__, rounds=7, iterations=50, warm_up=10)
    parser.add_argument("--batch", type=positive, default=128, help="images of an iteration (default: 128)")
    parser.add_argument("--width", type=positive, help="of both networks (default: the model's own)")
    parser.add_argument("--threads", type=positive, default=2, help="of PyTorch (default: 2)")
    parser.add_argument(
        "--workers", type=positive, default=2, help="processes that read images for PyTorch's example (default: its 2)"
    )
    given = parser.parse_args()
    prepare(given.threads)
    overrides = overrides_of(32, given.batch, given.width)
    measured = measure(
        overrides, rounds=given.rounds, iterations=given.iterations, warm_up=given.warm_up, workers=given.workers
    )
    present(table_of(measured, f"DCGAN, 32 pixels, batch {given.batch}, medians (range)"))


if __name__ == "__main__":
    main()
