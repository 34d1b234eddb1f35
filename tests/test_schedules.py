from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler

from gan_lightning.schedules import Curve, cosine, linear

LENGTH = 7


def two_groups() -> Optimizer:
    weights = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    return torch.optim.SGD([{"params": [weights[0]], "lr": 0.5}, {"params": [weights[1]], "lr": 0.02}])


def rates(make: Callable[[Optimizer], LRScheduler], steps: int) -> list[list[float]]:
    optimizer = two_groups()
    schedule, seen = make(optimizer), []
    for _ in range(steps):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return seen


@pytest.mark.parametrize(
    ("ours", "torchs"),
    [
        (
            partial(linear, iterations=LENGTH, end_factor=0.25),
            partial(LinearLR, start_factor=1.0, end_factor=0.25, total_iters=LENGTH),
        ),
        (partial(linear, iterations=LENGTH), partial(LinearLR, start_factor=1.0, end_factor=0.0, total_iters=LENGTH)),
        (partial(cosine, iterations=LENGTH, min_lr=0.01), partial(CosineAnnealingLR, T_max=LENGTH, eta_min=0.01)),
    ],
)
def test_a_curve_is_that_of_pytorch(ours: Callable[[Optimizer], Curve], torchs: Callable[[Optimizer], LRScheduler]):
    found, expected = rates(ours, LENGTH + 1), rates(torchs, LENGTH + 1)
    assert len({tuple(rate) for rate in found}) == LENGTH + 1
    for ours_then, torchs_then in zip(found, expected, strict=True):
        assert ours_then == pytest.approx(torchs_then, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("curve", [linear, cosine])
def test_a_curve_stays_at_its_end(curve: Callable[..., Curve]):
    *_, end, after, later = rates(partial(curve, iterations=LENGTH), LENGTH + 3)
    assert end == after == later
    assert end == pytest.approx([0, 0], abs=1e-12)


@pytest.mark.parametrize("curve", [linear, cosine])
def test_a_longer_budget_has_the_longer_curves_rate_at_once(curve: Callable[..., Curve]):
    before = two_groups()
    short = curve(before, LENGTH)
    for _ in range(LENGTH):
        before.step()
        short.step()
    saved = copy.deepcopy((before.state_dict(), short.state_dict()))
    after = two_groups()
    long = curve(after, 2 * LENGTH)
    after.load_state_dict(saved[0])
    long.load_state_dict(saved[1])
    undisturbed = rates(partial(curve, iterations=2 * LENGTH), 2 * LENGTH)
    for expected in undisturbed[LENGTH:]:
        assert [group["lr"] for group in after.param_groups] == expected
        assert long.get_last_lr() == expected
        after.step()
        long.step()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (partial(linear, iterations=0), "at least 1 iteration long, not 0"),
        (partial(linear, iterations=5, end_factor=-1), "schedule.end_factor must be 0 or more, not -1"),
        (partial(cosine, iterations=5, min_lr=-1), "schedule.min_lr must be 0 or more, not -1"),
    ],
)
def test_arguments_out_of_range_are_refused(make: Callable[[Optimizer], Curve], words: str):
    with pytest.raises(ValueError, match=words):
        make(two_groups())
