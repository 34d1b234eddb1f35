"""Checks of the optimizers' states in a checkpoint: PyTorch takes any, and what does not fit may end the process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Number
from typing import Any

from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

ELEMENTWISE = (Adam, AdamW, RMSprop, SGD)
"""Optimizers whose moments are of the shapes of the weights."""


def flaw_of_optimizers(states: Sequence[Any], optimizers: Sequence[Optimizer]) -> str | None:
    """Return what makes the states of a checkpoint unfit for new optimizers of the run; None where they fit."""
    flaws = (flaw_of(state, optimizer) for state, optimizer in zip(states, optimizers, strict=True))
    return next((flaw for flaw in flaws if flaw), None)


def flaw_of(state: Any, optimizer: Optimizer) -> str | None:
    """Return what makes `state` unfit for `optimizer`, which has made no step."""
    if not isinstance(state, Mapping) or not isinstance(state.get("state"), Mapping):
        return "an optimizer has no state"
    groups = state.get("param_groups")
    if not isinstance(groups, list) or len(groups) != len(optimizer.param_groups):
        return "an optimizer has other groups of weights"
    for group, own in zip(groups, optimizer.param_groups, strict=True):
        if not isinstance(group, Mapping) or not own.keys() <= group.keys():
            return "an optimizer lacks settings"
        if not isinstance(group["params"], list) or len(group["params"]) != len(own["params"]):
            return "an optimizer has other weights"
        for key in own.keys() - {"params"}:
            if not alike(group[key], own[key]):
                return f"an optimizer has {key}={group[key]!r:.40}"
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for number, moments in state["state"].items():
        if type(number) is not int or not 0 <= number < len(weights) or not isinstance(moments, Mapping):
            return "an optimizer has moments of no weight"
        if isinstance(optimizer, ELEMENTWISE) and not all(fits(part, weights[number]) for part in moments.values()):
            return "an optimizer has moments of another shape, or that are not finite"
    return None


def alike(value: Any, own: Any) -> bool:
    """Return whether a setting is of the kind that an optimizer has there: a number, as many numbers, or a switch."""
    if isinstance(own, (tuple, list)):
        return isinstance(value, (tuple, list)) and len(value) == len(own) and all(map(alike, value, own))
    if isinstance(own, (Number, Tensor)):
        return isinstance(value, Number) or (isinstance(value, Tensor) and value.numel() == 1)
    return value is None or isinstance(value, bool) or value == own


def fits(moment: Any, weight: Tensor) -> bool:
    """Return whether a moment is finite and has a number for each of those of a weight, or is a count of steps."""
    if not isinstance(moment, Tensor):
        return moment is None or isinstance(moment, Number)
    return moment.shape in (weight.shape, ()) and bool(moment.isfinite().all())
