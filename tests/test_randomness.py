from __future__ import annotations

import torch

from gan_lightning.randomness import generator_for, seed_of


def test_same_parts_same_numbers_and_every_part_counts():
    assert seed_of(0, "generator", 7) == seed_of(0, "generator", 7)
    seeds = {seed_of(seed, stream, turn) for seed in (0, 1) for stream in ("a", "b") for turn in range(100)}
    assert len(seeds) == 400
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_number_and_its_text_are_different_parts():
    assert seed_of(1) != seed_of("1")


def test_every_process_gets_the_same_seed():
    """Which Python's own hash of a text would not give."""
    assert seed_of(3, "x", 5) == 1389873707995311469


def test_neighbouring_streams_are_unrelated():
    draws = torch.stack([torch.randn(4000, generator=generator_for(0, "z", turn)) for turn in range(8)])
    correlation = torch.corrcoef(draws) - torch.eye(8)
    assert correlation.abs().max() < 5 / 4000**0.5
