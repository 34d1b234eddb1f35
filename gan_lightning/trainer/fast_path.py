"""Lightning's work around each step is a third of a toy's time: where nothing listens, it is left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy, Strategy
from torch import Tensor
from torch.optim import Optimizer

from gan_lightning.callbacks.periodic import as_gan
from gan_lightning.game import Batch

LONGEST_SECONDS = 0.05
"""Seconds of steps after which `training_step` returns even if no callback is to act, so that signals are noticed."""


def callbacks_with(trainer: Trainer, *hooks: str) -> list[Callback]:
    """Return the callbacks that define one of `hooks`."""
    callbacks: list[Callback] = getattr(trainer, "callbacks", [])  # which its type does not declare
    return [
        part for part in callbacks if any(getattr(type(part), hook) is not getattr(Callback, hook) for hook in hooks)
    ]


def unwatched(trainer: Trainer, *hooks: str) -> bool:
    """Return whether no callback, profiler or gradient scaler needs Lightning's `hooks`."""
    scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
    profiled = not isinstance(getattr(trainer, "profiler", None), PassThroughProfiler)
    return not callbacks_with(trainer, *hooks) and not scaled and not profiled


class Direct(Strategy):
    """A strategy's backward passes and steps go straight to torch where nothing listens to them; a mix-in."""

    direct_backward = direct_step = False

    def setup(self, trainer: Trainer) -> None:
        super().setup(trainer)
        unclipped = getattr(trainer.lightning_module, "clip_gradient_norm", None) is None
        self.direct_backward = unwatched(trainer, "on_before_backward", "on_after_backward")
        self.direct_step = unclipped and unwatched(trainer, "on_before_optimizer_step")

    def backward(self, closure_loss: Tensor, optimizer: Optimizer | None, *args: Any, **kwargs: Any) -> Tensor:
        if not self.direct_backward:
            return super().backward(closure_loss, optimizer, *args, **kwargs)
        self.pre_backward(closure_loss)
        closure_loss.backward()
        self.post_backward(closure_loss)
        return closure_loss

    def optimizer_step(self, optimizer: Optimizer, closure: Callable[[], Any], model: Any = None, **kwargs: Any) -> Any:
        if not self.direct_step:
            return super().optimizer_step(optimizer, closure, model, **kwargs)
        return optimizer.step()


class SingleDevice(Direct, SingleDeviceStrategy):
    """One device."""


class Pacing(Callback):
    """Makes several steps in one call of `GAN.training_step`: all until a callback is to act.

    A callback that defines ``on_train_batch_start`` or ``on_train_batch_end`` may have a method ``next_iteration``,
    which takes the iterations made and returns the one at which the callback next acts. One that has none is called
    after every step, as Lightning promises. So it is on several devices, too.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        gan = as_gan(pl_module)
        watching = callbacks_with(trainer, "on_train_batch_start", "on_train_batch_end")
        dues: list[Callable[[int], float]] = [
            part.next_iteration for part in watching if hasattr(part, "next_iteration")
        ]
        alone = isinstance(trainer.strategy, SingleDeviceStrategy)
        if not alone or len(dues) < len(watching) or not unwatched(trainer):
            return

        def paced(batches: Iterator[tuple[Batch, int, int]]) -> Iterator[Batch]:
            pause = min([gan.max_iterations, *(due(gan.iterations) for due in dues)])
            until = time.perf_counter() + LONGEST_SECONDS
            for batch, _, _ in batches:
                yield batch
                if gan.iterations >= pause or time.perf_counter() >= until:
                    return

        vars(gan)["paced"] = paced

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        vars(pl_module).pop("paced", None)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        vars(pl_module).pop("paced", None)
