"""Proposition 1 and theorem 1 of Goodfellow et al. 2014, section 4, in numbers and a figure.

    python -m benchmarks.theory                          # 10 seeds, from 10 on
    python -m benchmarks.theory --quick --results /tmp/theory

Proposition 1: for a fixed generator of density q the best discriminator is D* = p / (p + q). A discriminator, trained
on n samples of N(3, .5) and n of the fixed N(2, 1), is compared with D*: the mean of |D - D*| over (p + q) / 2, by
quadrature, falls as n grows.

Theorem 1: C(G), the value of the game against D*, is least, at -log 4, where the generator's density is the data's. A
generator G(z) = m + s z is trained by the minimax loss against the exact D*, renewed before each step as in
proposition 2, from several starts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from benchmarks.common import hardware, report_arguments, write_report
from gan_lightning.data.distributions import Gaussian
from gan_lightning.game import DiscriminatorOutput, Latent, Round
from gan_lightning.losses.adversarial import Minimax
from gan_lightning.models.mlp import MLPDiscriminator
from gan_lightning.utils.statistics import summarize

DATA, FIXED = Gaussian(3.0, 0.5), Gaussian(2.0, 1.0)
SIZES = (50, 200, 800, 3200, 12800)
STARTS = ((1.0, 1.0), (5.0, 1.5), (3.0, 0.1), (2.0, 3.0))
"""Mean and standard deviation of the generator at the start."""

LINE = torch.linspace(-6, 12, 6001, dtype=torch.float64).unsqueeze(1)
"""Where integrals are computed, (points, 1)."""

CELL = 18 / 6000
LEAST_VALUE = -math.log(4)


def log_ratio(real: Gaussian, fake: Gaussian, x: Tensor) -> Tensor:
    """Return log p(x) / q(x), the logit of D*, (count,)."""
    return real.log_density(x) - fake.log_density(x)


def value_at_optimum(real: Gaussian, fake: Gaussian) -> float:
    """Return C(G) = E_p log D* + E_q log(1 - D*), in nats (equation 4), by quadrature."""
    logits, p, q = log_ratio(real, fake, LINE), real.log_density(LINE).exp(), fake.log_density(LINE).exp()
    return float(((p * logsigmoid(logits) + q * logsigmoid(-logits)) * CELL).sum())


def error_of(discriminator: nn.Module) -> float:
    """Return the mean of |D - D*| over (p + q) / 2, by quadrature."""
    with torch.no_grad():
        found = discriminator(LINE.float()).logits.double().sigmoid()
    both = (DATA.log_density(LINE).exp() + FIXED.log_density(LINE).exp()) / 2
    return float(((found - log_ratio(DATA, FIXED, LINE).sigmoid()).abs() * both * CELL).sum())


class FixedGenerator(nn.Module):
    """A generator that gives its latents: the samples of the fixed density."""

    def forward(self, latent: Latent) -> Tensor:
        """Return the latents, (batch, 1)."""
        return latent.z


def trained_discriminator(size: int, seed: int, steps: int) -> nn.Module:
    """Return a discriminator trained on `size` samples of the data and as many of the fixed generator."""
    rng = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    real, fake = DATA.sample(size, rng), FIXED.sample(size, rng)
    network, objective, generator = MLPDiscriminator([1], 32, 2, "Tanh"), Minimax(), FixedGenerator()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    for _ in range(steps):
        rows = torch.randint(size, (min(size, 1024),), generator=rng) if size > 1024 else torch.arange(size)
        optimizer.zero_grad()
        objective.discriminator(Round(generator, network, Latent(fake[rows]), real[rows], fake[rows])).backward()
        optimizer.step()
        schedule.step()
    return network


class OptimalDiscriminator(nn.Module):
    """D* of the data against a Gaussian generator, as logits.

    Args:
        fake: the density of the generator, which the logits do not follow when it moves.
    """

    def __init__(self, fake: Gaussian) -> None:
        super().__init__()
        self.fake = fake

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        """Return logits (batch,) of samples (batch, 1)."""
        return DiscriminatorOutput(log_ratio(DATA, self.fake, samples))


class AffineGenerator(nn.Module):
    """G(z) = mean + std z, whose density is known.

    Args:
        mean, std: at the start.
    """

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.log_std = nn.Parameter(torch.tensor(mean)), nn.Parameter(torch.tensor(math.log(std)))

    def forward(self, latent: Latent) -> Tensor:
        """Return samples (batch, 1)."""
        return self.mean + self.log_std.exp() * latent.z

    @property
    def density(self) -> Gaussian:
        return Gaussian(self.mean.item(), self.log_std.exp().item())


def values_of_training(start: tuple[float, float], seed: int, steps: int) -> list[float]:
    """Return C(G) before each step of a generator against D*, and after the last."""
    rng = torch.Generator().manual_seed(seed)
    generator, objective = AffineGenerator(*start), Minimax()
    optimizer = torch.optim.Adam(generator.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    values = [value_at_optimum(DATA, generator.density)]
    for _ in range(steps):
        latent, discriminator = Latent(torch.randn(1000, 1, generator=rng)), OptimalDiscriminator(generator.density)
        fake = generator(latent)
        optimizer.zero_grad()
        objective.generator(Round(generator, discriminator, latent, fake.detach(), fake)).backward()
        optimizer.step()
        schedule.step()
        values.append(value_at_optimum(DATA, generator.density))
    return values


def draw(errors: dict[int, list[float]], example: nn.Module, paths: dict[tuple[float, float], list[float]]) -> Figure:
    """Return a figure of both statements."""
    drawn = Figure(figsize=(13, 4), layout="constrained")
    left, middle, right = drawn.subplots(1, 3)
    sizes = list(errors)
    left.plot(sizes, [np.mean(errors[size]) for size in sizes], marker="o")
    for size in sizes:
        left.scatter([size] * len(errors[size]), errors[size], color="tab:blue", s=8, alpha=0.4)
    left.set(xscale="log", yscale="log", xlabel="samples of each density", ylabel="mean of |D - D*|")
    left.set_title("Proposition 1: D approaches D*")
    draw_example(middle, example, sizes[-1])
    for (mean, std), values in paths.items():
        right.plot(np.array(values) - LEAST_VALUE + 1e-7, label=f"from N({mean:g}, {std:g})")
    right.set(yscale="log", xlabel="steps of the generator", ylabel="C(G) + log 4, nats", ylim=(1e-6, 2))
    right.set_title("Theorem 1: C(G) falls to -log 4")
    right.legend()
    return drawn


def draw_example(axes: Axes, example: nn.Module, size: int) -> None:
    """Draw a trained discriminator, D* and the two densities."""
    x = LINE[(LINE > -2) & (LINE < 6)].unsqueeze(1)
    with torch.no_grad():
        axes.plot(x, example(x.float()).logits.sigmoid(), label=f"D, {size} samples")
    axes.plot(x, log_ratio(DATA, FIXED, x).sigmoid(), "--", label="D*")
    axes.fill_between(x.flatten(), DATA.log_density(x).exp(), alpha=0.2, label="data")
    axes.fill_between(x.flatten(), FIXED.log_density(x).exp(), alpha=0.2, label="generator, fixed")
    axes.legend()


def page(
    errors: dict[int, list[float]], paths: dict[tuple[float, float], list[float]], first: int, steps: tuple[int, int]
) -> str:
    """Return the tables as Markdown."""
    seeds = len(next(iter(errors.values())))
    rows = [(size, summarize(values)) for size, values in errors.items()]
    slope = np.polyfit(np.log([size for size, _ in rows]), np.log([row.mean for _, row in rows]), 1)[0]
    lines = [
        "# Proposition 1 and theorem 1",
        "",
        f"`python -m benchmarks.theory` (Goodfellow et al. 2014, section 4), seeds {first} to {first + seeds - 1}.",
        "",
        "Proposition 1. The data are N(3, 0.5), the generator is fixed at N(2, 1); the discriminator (two layers of "
        f"32, {steps[0]} steps of Adam) has seen n samples of each. The mean of abs(D - D*) over (p + q) / 2 falls as "
        f"n^{slope:.2f}.",
        "",
        "| n | mean of abs(D - D*) | 95 % interval |",
        "| ---: | ---: | ---: |",
        *(f"| {size} | {row.mean:.4f} | {interval(row.interval)} |" for size, row in rows),
        "",
        f"Theorem 1. G(z) = m + s z after {steps[1]} steps against the exact D*; -log 4 = {LEAST_VALUE:.5f}.",
        "",
        "| start | C(G) at the start | C(G) at the end | C(G) + log 4 |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| N({mean:g}, {std:g}) | {values[0]:.4f} | {values[-1]:.5f} | {values[-1] - LEAST_VALUE:.1e} |"
            for (mean, std), values in paths.items()
        ),
        "",
        "![Both statements](theory.png)",
        "",
        f"Machine: {hardware().splitlines()[0]}.",
    ]
    return "\n".join(lines) + "\n"


def interval(bounds: tuple[float, float] | None) -> str:
    """Return an interval in a cell of the table; nothing where there is one seed."""
    return "" if bounds is None else f"{bounds[0]:.4f} to {bounds[1]:.4f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both and write the tables and the figure."""
    parser = report_arguments(__doc__, seeds=10, quick="2 seeds, 100 and 100 steps, two sizes and starts")
    given = parser.parse_args(arguments)
    seeds, steps = (2, (100, 100)) if given.quick else (given.seeds, (2000, 300))
    sizes, starts = (SIZES[:2], STARTS[:2]) if given.quick else (SIZES, STARTS)
    jobs = [(size, seed) for size in sizes for seed in range(given.first, given.first + seeds)]
    errors: dict[int, list[float]] = {size: [] for size in sizes}
    for size, seed in track(jobs, "proposition 1", console=Console(stderr=True)):
        example = trained_discriminator(size, seed, steps[0])
        errors[size].append(error_of(example))
    paths = {
        start: values_of_training(start, given.first, steps[1])
        for start in track(starts, "theorem 1", console=Console(stderr=True))
    }
    write_report(given.results, "theory", page(errors, paths, given.first, steps), draw(errors, example, paths))


if __name__ == "__main__":
    main()
