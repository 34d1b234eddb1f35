from __future__ import annotations

from itertools import count, islice

import torch

from gan_lightning.data.mirror import Mirrored


def batches(first: int, rows: slice, images: int = 12):
    """Batches of images whose left half is 0 and right half 1, and whose class is their row."""
    for _ in count(first):
        image = torch.tensor([0.0, 0, 1, 1]).expand(images, 3, 4, 4)
        yield image[rows].clone(), torch.arange(images)[rows]


def flipped(rank: int = 0, ranks: int = 1, first: int = 0, seed: int = 5, steps: int = 20) -> torch.Tensor:
    """Which images were flipped, (steps, images of the rank)."""
    share = slice(rank * 12 // ranks, (rank + 1) * 12 // ranks)
    loader = Mirrored(batches(first, share), 12, seed, lambda: first, rank, ranks)
    found = []
    for real, labels in islice(loader, steps):
        assert labels is not None and torch.equal(labels, torch.arange(12)[share])
        assert torch.equal(real.sort(-1).values, real.sort(-1).values[:1].expand_as(real))
        assert (real[:, :, :, 0] == 1 - real[:, :, :, 3]).all()
        found.append(real[:, 0, 0, 0] == 1)
    return torch.stack(found)


def test_half_of_the_images_are_flipped_anew_at_each_step() -> None:
    flips = flipped(steps=400)
    assert 0.47 < flips.float().mean() < 0.53
    assert (flips.float().mean(0) - 0.5).abs().max() < 0.15  # each row now and then
    assert not torch.equal(flips[0], flips[1])
    assert not torch.equal(flips, flipped(seed=6, steps=400))


def test_flips_are_a_function_of_seed_step_and_row() -> None:
    whole = flipped(steps=20)
    assert torch.equal(flipped(first=5, steps=15), whole[5:])
    assert torch.equal(torch.cat([flipped(rank, 3) for rank in range(3)], dim=1), whole)
