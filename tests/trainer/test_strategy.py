"""Two ranks are one game: the same weights on both, and those of one process with the joined batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.tiny_gan import tiny_gan
from helpers.two_ranks import GAMES, on_two_ranks, played
from torch import Tensor, nn


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two ranks ended with."""
    return on_two_ranks(tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("name", GAMES)
def test_ranks_agree_to_the_bit_and_with_one_process(name: str, found: list[dict[str, Any]]):
    alone = played(name)
    first, second = (rank[name] for rank in found)
    assert set(first) == set(alone)
    for key, tensor in alone.items():
        assert torch.equal(first[key], second[key]), key
        torch.testing.assert_close(first[key], tensor, rtol=1e-5, atol=1e-6, msg=key)


def test_the_state_of_the_stateful_game_has_moved():
    assert 0 < played("stateful")["objectives.following.level"] < 1


def test_one_message_a_step_however_many_micro_batches(found: list[dict[str, Any]]):
    gan = tiny_gan()
    sizes = {len(flat(network)) for network in (gan.generator, gan.discriminator)}
    for rank in found:
        assert len(rank["messages"]) == 2 * 3
        assert set(rank["messages"]) == sizes


def flat(network: nn.Module) -> Tensor:
    return torch.cat([weight.flatten() for weight in network.parameters()])


def test_batch_norm_keeps_the_ranks_one_model(found: list[dict[str, Any]]):
    first, second = (rank["batch norm"] for rank in found)
    assert any("running_var" in key for key in first)
    for key, tensor in first.items():
        assert torch.equal(tensor, second[key]), key


def test_all_ranks_stop_alike(found: list[dict[str, Any]]):
    """After evaluations, and by the clock of rank 0."""
    for rank in found:
        assert rank["patience"] == (2, "no better metric in 1 evaluation (stop.patience=1)")
        assert rank["clock"] == (1, "2 hours of training (stop.max_hours=1)")
