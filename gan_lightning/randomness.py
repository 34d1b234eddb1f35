"""Random numbers as a function of what they are for, so that runs repeat and ranks differ."""

from __future__ import annotations

from hashlib import blake2b

import torch


def seed_of(*parts: int | str) -> int:
    """A 63-bit seed that depends on every part and on nothing else.

    The parts say what the numbers are for, such as ``(seed, "generator", turn)``. Seeds that differ by one give
    unrelated streams, on every machine and in every Python process.
    """
    digest = blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator_for(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of random numbers on `device`, seeded by `seed_of(*parts)`."""
    return torch.Generator(device).manual_seed(seed_of(*parts))
