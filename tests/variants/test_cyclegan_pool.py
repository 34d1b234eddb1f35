"""CycleGAN's pool of past fakes against one that is a plain list."""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from gan_lightning.game import Latent, Round
from gan_lightning.models.cyclegan import PatchGANPair
from gan_lightning.randomness import Noise
from gan_lightning.variants.cyclegan import PatchLeastSquares

SHAPE = (2, 16, 16)


def round_of(fake: Tensor, step: int = 0, first: int = 0, batch_size: int | None = None) -> Round:
    """A step of the discriminator with these fakes."""
    noise = Noise(0, "discriminator", "round", step, first=first, batch_size=batch_size)
    real, critics = torch.ones_like(fake), PatchGANPair(SHAPE, width=2, depth=1)
    return Round(
        nn.Identity(), critics, Latent(torch.zeros_like(fake)), real, fake, discriminator_updates=step, noise=noise
    )


class Listed:
    """The pool of one domain as the authors have it: a list, queried image by image."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[float] = []

    def query(self, image: float, place: int, coin: bool) -> float:
        if len(self.images) < self.size:
            self.images.append(image)
            return image
        if coin:
            stored, self.images[place] = self.images[place], image
            return stored
        return image


@pytest.mark.parametrize(("pool_size", "batch_size"), [(50, 1), (7, 3), (6, 6), (8, 5)])
def test_the_pool_is_the_list_of_the_authors(pool_size: int, batch_size: int) -> None:
    """Given the same places and coins, image by image, also where the pool fills up within a batch."""
    objective = PatchLeastSquares(SHAPE, pool_size)
    lists = [Listed(pool_size), Listed(pool_size)]
    for step in range(60):
        values = torch.rand(batch_size, 2)
        round = round_of(values[:, :, None, None].expand(-1, *SHAPE), step)
        slots, swapped, _ = objective.places(round)
        expected = [
            [
                pool.query(values[row, side].item(), int(slots[row, side]), bool(swapped[row, side]))
                for row in range(batch_size)
            ]
            for side, pool in enumerate(lists)
        ]
        shown = objective.pooled(round)
        assert shown.shape == round.fake.shape
        assert (shown == shown[:, :, :1, :1]).all()
        assert shown[:, :, 0, 0].T.tolist() == expected
        objective.after_discriminator_step(round)
    kept = objective.images[:, :, 0, 0, 0].T.tolist()
    assert kept == [pool.images for pool in lists]


def test_half_are_swapped_for_any_place_and_each_domain_by_itself() -> None:
    objective = PatchLeastSquares(SHAPE, pool_size=10)
    objective.held.fill_(10)
    drawn = [objective.places(round_of(torch.zeros(4, *SHAPE), step)) for step in range(1000)]
    slots, swapped = (torch.stack([each[index] for each in drawn]) for index in (0, 1))
    assert all(len(set(column.tolist())) == 4 for step in slots for column in step.T)  # no two in one place
    shares = torch.stack([torch.bincount(slots[..., side].flatten(), minlength=10) for side in (0, 1)]) / 4000
    assert (shares - 0.1).abs().max() < 0.02
    assert (swapped.float().mean((0, 1)) - 0.5).abs().max() < 0.03
    for pair in (slots, swapped):
        same = (pair[..., 0] == pair[..., 1]).float().mean().item()
        assert same == pytest.approx(0.1 if pair is slots else 0.5, abs=0.03)


def kept(sent: list[Tensor], own: Tensor) -> Tensor:
    sent.append(own)
    return own


def mean_of(sent: list[Tensor], own: Tensor) -> Tensor:
    return torch.stack(sent).mean(0)


def test_ranks_and_pieces_share_one_pool() -> None:
    """What two ranks show and keep is what one of the whole batch shows and keeps."""
    whole = PatchLeastSquares(SHAPE, pool_size=5)
    ranks = [deepcopy(whole), deepcopy(whole)]
    for step in range(20):
        fakes = torch.rand(4, *SHAPE)
        shown = whole.pooled(round_of(fakes, step, batch_size=4))
        whole.after_discriminator_step(round_of(fakes, step, batch_size=4))
        halves = [round_of(fakes[first : first + 2], step, first, batch_size=4) for first in (0, 2)]
        assert torch.equal(torch.cat([rank.pooled(half) for rank, half in zip(ranks, halves, strict=True)]), shown)
        sent: list[Tensor] = []
        for rank, half in zip(ranks, halves, strict=True):
            half.all_reduce_mean = partial(kept, sent)
            deepcopy(rank).after_discriminator_step(half)
        for rank, half in zip(ranks, halves, strict=True):
            half.all_reduce_mean = partial(mean_of, sent)
            rank.after_discriminator_step(half)
        for rank in ranks:
            assert torch.equal(rank.bits, whole.bits) and rank.held == whole.held


def test_the_pool_is_kept_in_float32_and_is_no_weight_to_average() -> None:
    objective = PatchLeastSquares(SHAPE, pool_size=3)
    fakes = torch.rand(2, *SHAPE, dtype=torch.bfloat16)
    objective.after_discriminator_step(round_of(fakes))
    assert torch.equal(objective.images[:2].flatten(1, 2), fakes.float())
    assert not any(buffer.is_floating_point() for buffer in objective.buffers())
    again = PatchLeastSquares(SHAPE, pool_size=3)
    again.load_state_dict(objective.state_dict())
    assert torch.equal(again.images, objective.images) and again.held == 2


def test_a_batch_larger_than_the_pool_is_refused_and_no_pool_is_none() -> None:
    with pytest.raises(ValueError, match=r"pool_size=3 must not be smaller than data\.batch_size=4"):
        PatchLeastSquares(SHAPE, pool_size=3).discriminator(round_of(torch.zeros(4, *SHAPE)))
    with pytest.raises(ValueError, match=r"loss\.objectives\.adversarial\.pool_size must be"):
        PatchLeastSquares(SHAPE, pool_size=-1)
    none, fresh = PatchLeastSquares(SHAPE, pool_size=0), PatchLeastSquares(SHAPE, pool_size=4)
    round = round_of(torch.rand(4, *SHAPE))
    assert none.discriminator(round) == fresh.discriminator(round)
    assert "fake_output" in round.__dict__
    none.after_discriminator_step(round)
