"""Learning rates as functions of the iteration, gradient clipping, and weights that a step leaves alone.

A run that is resumed with a longer budget follows the longer curve.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class Curve(LambdaLR):
    """Rates that depend on the iteration alone. After a checkpoint is loaded they are this curve's, not the old one's.

    PyTorch's own schedules bring their old length back from the checkpoint, and leave the optimizer at the old rate
    until the next step.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the iteration from `state_dict`, and set the rates that this curve has there."""
        super().load_state_dict(state_dict)
        rates = [rate * share(self.last_epoch) for rate, share in zip(self.base_lrs, self.lr_lambdas, strict=True)]
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = rates


def linear(optimizer: Optimizer, iterations: int, end_factor: float = 0.0) -> Curve:
    """Return rates that fall on a line, and stay at its end.

    Args:
        optimizer: whose rates are set.
        iterations: length of the line, at least 1.
        end_factor: the rate at its end, as a share of the rate at the start.

    Raises:
        ValueError: for a length below 1 or a share below 0.
    """
    check("schedule.end_factor", end_factor, iterations)
    return Curve(optimizer, lambda step: 1 + (end_factor - 1) * min(step, iterations) / iterations)


def cosine(optimizer: Optimizer, iterations: int, min_lr: float = 0.0) -> Curve:
    """Return rates that fall on half a cosine to `min_lr`, and stay there (Loshchilov and Hutter 2017, equation 5).

    Args:
        optimizer: whose rates are set.
        iterations: length of the half cosine, at least 1.
        min_lr: the rate at its end.

    Raises:
        ValueError: for a length below 1 or a rate below 0.
    """
    check("schedule.min_lr", min_lr, iterations)

    def falling(start: float) -> Callable[[int], float]:
        end = min_lr / start
        return lambda step: end + (1 - end) * (1 + math.cos(math.pi * min(step, iterations) / iterations)) / 2

    # A group that another schedule has moved remembers its start.
    starts = [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]
    return Curve(optimizer, [falling(start) for start in starts])


def check(name: str, value: float, iterations: int) -> None:
    """Raise a ValueError for what no curve can have."""
    if value < 0:
        raise ValueError(f"{name} must be 0 or more, not {value}")
    if iterations < 1:
        raise ValueError(f"a schedule must be at least 1 iteration long, not {iterations}")


def clip(optimizer: Optimizer, norm: float | None, scaler: torch.amp.GradScaler | None = None) -> None:
    """Scale the gradients of `optimizer` down to a 2-norm of `norm` if it is larger.

    Args:
        optimizer: whose gradients.
        norm: the largest 2-norm of all of them together, above 0; None leaves them alone.
        scaler: what has scaled them, under float16.
    """
    if norm is None:
        return
    # A gradient scaler leaves its scale to optimizers that can undo it themselves, the fused ones.
    if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
        scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_([weight for group in optimizer.param_groups for weight in group["params"]], norm)


@contextmanager
def frozen(weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """Within, `weights` take no gradient; afterwards all do."""
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)
