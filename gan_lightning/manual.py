"""What manual optimization asks of Lightning and of weights, and no more than it needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning import Callback, Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.profilers import PassThroughProfiler
from torch import nn


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
