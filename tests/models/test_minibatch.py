"""Statistics of a batch, by hand."""

from __future__ import annotations

from math import exp

import pytest
import torch

from gan_lightning.models.minibatch import MinibatchDiscrimination, MinibatchStd, minibatch_layers


def test_the_deviation_within_a_group_by_hand() -> None:
    """Two groups of two, samples 0 and 2, 1 and 3: their values differ by 2 and 0, and by 6 and 0."""
    maps = torch.tensor([[1.0, 4.0], [2.0, 0.0], [3.0, 4.0], [8.0, 0.0]]).view(4, 2, 1, 1)
    found = MinibatchStd(group_size=2)(maps)
    assert torch.equal(found[:, :2], maps)
    torch.testing.assert_close(found[:, 2].flatten(), torch.tensor([0.5, 1.5, 0.5, 1.5]), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("batch", "size"), [(8, 4), (3, 3), (10, 5), (7, 7), (9, 9)])
def test_groups_have_the_given_size_or_one_that_divides_the_batch(batch: int, size: int) -> None:
    maps = torch.randn(batch, 3, 2, 2)
    found = MinibatchStd(group_size=4)(maps)[:, 3]
    count = batch // size
    for group in range(count):
        expected = maps[group::count].std(0, correction=0).mean()
        torch.testing.assert_close(found[group::count], expected.expand(size, 2, 2))


def test_like_samples_have_no_deviation_and_a_finite_gradient() -> None:
    maps = torch.ones(4, 2, 3, 3, requires_grad=True)
    found = MinibatchStd()(maps)
    found.sum().backward()
    assert found[:, 2].max() < 1e-3
    assert maps.grad is not None
    assert maps.grad.isfinite().all()


def test_a_group_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="group_size must be at least 2 samples, not 1"):
        MinibatchStd(group_size=1)


def test_closeness_by_hand() -> None:
    """M is the features themselves, as one row of two and as a row of the first, then of the second."""
    features = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    together, apart = MinibatchDiscrimination(2, kernels=1, dims=2), MinibatchDiscrimination(2, kernels=2, dims=1)
    for layer in (together, apart):
        layer.tensor.data = torch.eye(2)
    a, b, c = exp(-1), exp(-3), exp(-4)  # distances 0-1, 0-2, 1-2
    expected = torch.tensor([[a + b], [a + c], [b + c]])
    torch.testing.assert_close(together(features), torch.cat([features, expected], dim=1))
    expected = torch.tensor([[a + 1, 1 + b], [2 * a, 1 + b], [1 + a, 2 * b]])
    torch.testing.assert_close(apart(features), torch.cat([features, expected], dim=1))


def test_discrimination_tells_a_collapsed_batch() -> None:
    torch.manual_seed(0)
    layer = MinibatchDiscrimination(20, kernels=3)
    collapsed, varied = torch.randn(1, 20).expand(8, -1), torch.randn(8, 20)
    torch.testing.assert_close(layer(collapsed)[:, 20:], torch.full((8, 3), 7.0))
    assert layer(varied)[:, 20:].max() < 3


@pytest.mark.parametrize(("name", "length"), [("none", 48), ("std", 64), ("discrimination", 98)])
def test_maps_become_vectors_of_the_given_length(name: str, length: int) -> None:
    layers, inputs = minibatch_layers(name, channels=3, places=16)
    assert torch.nn.Sequential(*layers)(torch.randn(5, 3, 4, 4)).shape == (5, length)
    assert inputs == length


def test_other_names_are_refused() -> None:
    with pytest.raises(ValueError, match="minibatch=var is unknown: choose none, std or discrimination"):
        minibatch_layers("var", channels=3, places=16)
