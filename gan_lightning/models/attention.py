"""Self-attention over feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MOST_PLACES = 64 * 64
"""Places of the maps that self-attention is put on; its memory grows with their square. Published for 128 pixels."""


def attention_halvings(shape: Sequence[int], fewest: int = 1) -> int:
    """Return how often an image of `shape` is halved where self-attention stands.

    At least `fewest` times: once in BigGAN, to 64 of 128 pixels, twice in SAGAN, to 32 of 128. Larger images are
    halved until their maps have at most `MOST_PLACES` places.
    """
    return next(halvings for halvings in range(fewest, 32) if prod(shape[1:]) <= MOST_PLACES * 4**halvings)


class SelfAttention(nn.Module):
    """Self-attention over the places of feature maps: x + gamma * attention(x) (Zhang et al. 2019, section 3).

    Queries f and keys g have an eighth of the channels, values h a half, all by 1x1 convolutions without bias; as in
    the authors' code, keys and values are max-pooled 2x2 first, a quarter of the work. gamma starts at 0, so that the
    network learns local structure first.

    Args:
        channels: of the feature maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow, half = max(channels // 8, 1), max(channels // 2, 1)
        self.query = nn.Conv2d(channels, narrow, 1, bias=False)
        self.key = nn.Conv2d(channels, narrow, 1, bias=False)
        self.value = nn.Conv2d(channels, half, 1, bias=False)
        self.output = nn.Conv2d(half, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))
        for convolution in (self.query, self.key, self.value, self.output):
            nn.init.xavier_uniform_(convolution.weight)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to the same shape; height and width are at least 2."""
        queries = self.query(maps).flatten(2)
        keys = F.max_pool2d(self.key(maps), 2).flatten(2)
        values = F.max_pool2d(self.value(maps), 2).flatten(2)
        attention = (queries.mT @ keys).softmax(dim=2)  # (batch, places, pooled places)
        attended = (values @ attention.mT).unflatten(2, maps.shape[2:])
        return maps + self.gamma * self.output(attended)
