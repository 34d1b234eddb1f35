"""Self-attention, place by place."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gan_lightning.models.attention import SelfAttention, attention_halvings


def test_attention_begins_as_nothing() -> None:
    attention, maps = SelfAttention(8), torch.randn(2, 8, 6, 6)
    assert torch.equal(attention(maps), maps)


def test_attention_place_by_place() -> None:
    torch.manual_seed(0)
    attention, maps = SelfAttention(16), torch.randn(2, 16, 4, 6)
    nn.init.constant_(attention.gamma, 0.7)
    layers = attention.query, attention.key, attention.value, attention.output
    f, g, h, v = (layer.weight.detach()[:, :, 0, 0] for layer in layers)
    assert [weight.shape for weight in (f, g, h, v)] == [(2, 16), (2, 16), (8, 16), (16, 8)]
    expected = maps.clone()
    for number, image in enumerate(maps):
        blocks = [(row, column) for row in range(0, 4, 2) for column in range(0, 6, 2)]
        # The largest of each channel over a block of four places
        cells = [image[:, row : row + 2, column : column + 2].flatten(1) for row, column in blocks]
        keys = torch.stack([(g @ cell).amax(1) for cell in cells])
        values = torch.stack([(h @ cell).amax(1) for cell in cells])
        for row in range(4):
            for column in range(6):
                weights = (keys @ (f @ image[:, row, column])).softmax(0)
                expected[number, :, row, column] += 0.7 * (v @ (weights @ values))
    torch.testing.assert_close(attention(maps), expected)


@pytest.mark.parametrize(
    ("size", "halvings"), [((28, 28), 1), ((128, 128), 1), ((48, 96), 1), ((192, 192), 2), ((512, 512), 3)]
)
def test_attention_stands_at_half_the_size_or_at_64_pixels(size: tuple[int, int], halvings: int) -> None:
    assert attention_halvings((3, *size)) == halvings
    assert attention_halvings((3, *size), fewest=2) == max(halvings, 2)


def test_maps_of_odd_size_keep_it() -> None:
    assert SelfAttention(4)(torch.randn(2, 4, 7, 7)).shape == (2, 4, 7, 7)
