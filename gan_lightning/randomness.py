"""Random numbers as a function of what they are for, so that runs repeat and ranks differ."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor


def seed_of(*parts: int | str) -> int:
    """Return a 63-bit seed that depends on every part and on nothing else.

    The parts say what the numbers are for, such as ``(seed, "generator", step)``. Seeds that differ by one give
    unrelated streams, on every machine and in every Python process.
    """
    digest = blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator_for(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator of random numbers on `device`, seeded by `seed_of(*parts)`."""
    return torch.Generator(device).manual_seed(seed_of(*parts))


class Noise:
    """The random numbers of one round, a function of what they are for, whatever the number of devices.

    Every draw is made for the whole global batch, and the rows of this round are taken of it. Draws follow each other:
    the second differs from the first.

    Args:
        parts: what the numbers are for, as for `seed_of`.
        first: the global batch's row that the round begins with.
        batch_size: samples of the global batch; None for a round that is all there is.
    """

    def __init__(self, *parts: int | str, first: int = 0, batch_size: int | None = None) -> None:
        self.parts, self.first, self.batch_size = parts, first, batch_size
        self._rng: torch.Generator | None = None

    def uniform(self, count: int, shape: Sequence[int], device: torch.device) -> Tensor:
        """Return U(0, 1) for the `count` samples of the round, (count, *shape) of float32."""
        drawn = torch.rand(self.batch_size or count, *shape, generator=self._on(device), device=device)
        return drawn[self.first : self.first + count]

    def normal(self, count: int, shape: Sequence[int], device: torch.device) -> Tensor:
        """Return N(0, 1) for the `count` samples of the round, (count, *shape) of float32."""
        drawn = torch.randn(self.batch_size or count, *shape, generator=self._on(device), device=device)
        return drawn[self.first : self.first + count]

    def _on(self, device: torch.device) -> torch.Generator:
        if self._rng is None:
            self._rng = generator_for(*self.parts, device=device)
        return self._rng


def reseed(device: torch.device, seed: int) -> None:
    """Seed torch's own generator of `device`, which dropout and its like draw from.

    `torch.manual_seed` does so for every kind of device, and on a machine without one of them keeps a note of it each
    time, for ever: too slow and too large for every step.
    """
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
