from __future__ import annotations

import math

import pytest
import torch
from helpers.compose import composed, job_part
from helpers.plain_extractor import Plain
from hydra.utils import instantiate
from torch import Tensor

from gan_lightning.metrics.stacked_mnist import StackedModes


def read_as(*modes: int) -> Tensor:
    """What the plain extractor reads as these modes, (count, 1000)."""
    return torch.eye(1000)[list(modes)]


def counted(real: Tensor, fake: Tensor) -> dict[str, float]:
    metric = StackedModes(Plain(1000, 1000))
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return metric.compute()


def test_modes_and_divergences_are_those_counted_by_hand():
    # Red is 0 or 1, half each; green is 2; blue is 3 in three of four and 4 in one of four.
    real = read_as(23, 23, 24, 23, 123, 123, 124, 123)
    # Data: 023 and 123 have 3/8 each, 024 and 124 have 1/8 each.
    values = counted(real, read_as(23, 23, 124, 124))
    assert values["modes"] == 2
    assert values["kl"] == pytest.approx(0.5 * math.log(0.5 / (3 / 8)) + 0.5 * math.log(0.5 / (1 / 8)))
    assert values["kl_uniform"] == pytest.approx(math.log(500))


def test_shares_of_the_data_are_products_over_the_channels():
    """A mode that real images lack has its probability all the same: 1/4 here, for 001, 010, 011 and 000."""
    assert counted(read_as(0, 11), read_as(0, 1, 10, 11))["kl"] == pytest.approx(0, abs=1e-12)


def test_a_digit_that_the_data_lack_makes_the_divergence_infinite():
    assert counted(read_as(0, 11), read_as(0, 900))["kl"] == math.inf


def test_every_mode_once_is_uniform():
    values = counted(read_as(*range(1000)), read_as(*range(1000)))
    assert values == {"modes": 1000, "kl": pytest.approx(0, abs=1e-12), "kl_uniform": pytest.approx(0, abs=1e-12)}


def test_ranks_add_up_exactly():
    rng = torch.Generator().manual_seed(0)
    real, fake = (read_as(*torch.randint(1000, (50,), generator=rng).tolist()) for _ in range(2))
    whole, ranks = StackedModes(Plain(1000, 1000)), [StackedModes(Plain(1000, 1000)) for _ in range(2)]
    for metric, rows in zip([whole, *ranks], (slice(None), slice(0, 13), slice(13, None)), strict=True):
        metric.update(real[rows], real=True)
        metric.update(fake[rows], real=False)
    for name in whole.metric_state:
        assert torch.equal(getattr(whole, name), getattr(ranks[0], name) + getattr(ranks[1], name))


def test_other_stacks_of_the_training_digits_score_as_perfect_samples_do():
    """KL of 2 000 samples from 1 000 modes in expectation: between (modes - 1) / 2N and log(1 + (modes - 1) / N)."""
    metric = StackedModes()
    for real, stack_seed in ((True, 0), (False, 1)):
        with composed("data=stacked_mnist", "data.train_size=2000", f"data.stack_seed={stack_seed}") as config:
            data = instantiate(job_part(config).data, _convert_="all")
        for batch in data.reference_batches("cpu"):
            metric.update(batch, real=real)
    values = metric.compute()
    assert 999 / 4000 < values["kl"] < math.log(1 + 999 / 2000)
    # The share of modes that 2 000 samples find is 1 - exp(-2) = .86 for equal ones.
    assert 800 < values["modes"] < 880


def test_what_cannot_be_read_is_refused():
    with pytest.raises(ValueError, match="read by extractor=stacked_digits, not by plain"):
        StackedModes(Plain(10, 10))
    with pytest.raises(ValueError, match=r"three channels.*choose data=stacked_mnist"):
        StackedModes().update(torch.zeros(2, 1, 28, 28), real=True)
    metric = StackedModes(Plain(1000, 1000))
    with pytest.raises(ValueError, match="at least one fake"):
        metric.compute()
    metric.update(read_as(1), real=False)
    with pytest.raises(ValueError, match="needs real images"):
        metric.compute()
