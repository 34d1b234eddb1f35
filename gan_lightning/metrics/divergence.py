"""Divergences of discrete distributions, in nats."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def entropy(p: Tensor) -> float:
    """Return -sum p log p of probabilities (cells,), in [0, log cells]."""
    return torch.special.entr(p).sum().item()


def kullback_leibler(p: Tensor, q: Tensor) -> float:
    """Return KL(p || q) = sum p log(p / q) of probabilities (cells,), at least 0; infinite where q lacks a cell."""
    return max(0.0, (torch.xlogy(p, p) - torch.xlogy(p, q)).sum().item())


def jensen_shannon(p: Tensor, q: Tensor) -> float:
    """Return H((p + q) / 2) - (H(p) + H(q)) / 2 of probabilities (cells,) each.

    Returns:
        A number in [0, log 2]: 0 where p = q, log 2 where they share no cell. It is the JSD of Goodfellow et al. 2014,
        theorem 1, whose game ends at 2 JSD - log 4.
    """
    return min(math.log(2.0), max(0.0, entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2))
