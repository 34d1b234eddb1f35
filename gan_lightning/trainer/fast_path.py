"""What manual optimization asks of Lightning and of weights, and no more than it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.profilers import PassThroughProfiler
from torch import nn
from torch.optim import Optimizer


@contextmanager
def frozen(weights: list[nn.Parameter]) -> Iterator[None]:
    """Within, `weights` take no gradient."""
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


def unwatched(trainer: Trainer, *hooks: str) -> bool:
    """Whether nobody would notice that Lightning's `hooks` around a backward pass or a step are left out.

    They take about a tenth of a toy's iteration. A callback that defines one, a profiler or a gradient scaler needs
    them.
    """
    callbacks: list[Callback] = getattr(trainer, "callbacks", [])  # which its type does not declare
    watched = any(getattr(type(part), hook) is not getattr(Callback, hook) for part in callbacks for hook in hooks)
    scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
    return not watched and not scaled and isinstance(getattr(trainer, "profiler", None), PassThroughProfiler)


def watchers(trainer: Trainer) -> list[Callable[[int], float]] | None:
    """What tells, given the iterations played, at which iteration each callback next acts; None: at every turn.

    A callback that takes part in every turn (it defines ``on_train_batch_start`` or ``on_train_batch_end``) may have a
    method ``next_iteration`` that tells so. One that has none is called at every turn, as Lightning promises.
    """
    hooks = ("on_train_batch_start", "on_train_batch_end")
    callbacks: list[Callback] = getattr(trainer, "callbacks", [])
    taking_part = [
        part for part in callbacks if any(getattr(type(part), hook) is not getattr(Callback, hook) for hook in hooks)
    ]
    known = [part.next_iteration for part in taking_part if hasattr(part, "next_iteration")]
    return known if len(known) == len(taking_part) and unwatched(trainer) else None


def clip(optimizer: Optimizer, norm: float, trainer: Trainer) -> None:
    """Scale the gradients of `optimizer` down to a 2-norm of `norm` if it is larger."""
    # A gradient scaler leaves its scale to optimizers that can undo it themselves, the fused ones.
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
        scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_([weight for group in optimizer.param_groups for weight in group["params"]], norm)


def step(optimizer: LightningOptimizer, plainly: bool) -> None:
    """A step of `optimizer`, counted by Lightning; `plainly`: by nothing but the optimizer itself."""
    if not plainly:
        optimizer.step()
        return
    optimizer._on_before_step()
    optimizer.optimizer.step()
    optimizer._on_after_step()


def as_list(found: Any) -> list[Any]:
    """What Lightning returns for one, several or no optimizers or schedules, as a list."""
    return [] if found is None else found if isinstance(found, list) else [found]
