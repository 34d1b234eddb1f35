"""Both networks compiled, in place."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch.nn.utils.parametrize import is_parametrized

from gan_lightning.callbacks.periodic import as_gan
from gan_lightning.gan import GAN

log = logging.getLogger(__name__)

UNCOMPILED = "the networks run uncompiled, for trainer.compile cannot work here: %s"


class Compile(Callback):
    """Compiles generator and discriminator with ``torch.compile``, which happens in the first steps.

    Each network is compiled for the two ways that a step calls it: the generator with and without gradient, the
    discriminator with its weights free and frozen. All else runs them uncompiled: penalties, which need second
    derivatives; the evaluations of the discriminator; and the averaged generator, which is a copy. So nothing is
    compiled again later, as long as batches keep their shape.

    Where compiling fails (no C++ compiler, say), one line tells why and the networks run uncompiled. So it is with
    spectral norm, whose vectors a second pass overwrites before the backward pass of the first.

    Args:
        cuda_graphs: also replay each compiled network as a CUDA graph, which spares small networks the launching of
            their kernels one by one.
    """

    def __init__(self, cuda_graphs: bool = False) -> None:
        self.cuda_graphs = cuda_graphs

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        gan = as_gan(pl_module)
        networks = gan.generator, gan.discriminator
        if any(is_parametrized(module) for network in networks for module in network.modules()):
            log.warning(UNCOMPILED, "spectral norm changes between two passes")
            return
        log.info("compiling both networks, which may take a minute")
        for network in networks:
            network.compile(mode="reduce-overhead" if self.cuda_graphs else "default", dynamic=False)
            compiled: Any = network._compiled_call_impl
            network._compiled_call_impl = or_uncompiled(gan, compiled, network._call_impl)
        gan.state.compiled = True

    def next_iteration(self, iterations: int) -> float:
        """Return `iterations`, so that this is called at every step, where graphs are replayed; else never."""
        return iterations if self.cuda_graphs else math.inf

    def on_train_batch_start(self, *args: Any) -> None:
        if self.cuda_graphs:
            torch.compiler.cudagraph_mark_step_begin()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        uncompile(as_gan(pl_module))


def or_uncompiled(gan: GAN, compiled: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
    """Return `compiled`, with `plain` in its place for both networks of `gan` once it has failed."""

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return compiled(*args, **kwargs)
        except Exception as error:  # a backend may raise anything
            output = plain(*args, **kwargs)  # a mistake of the network's own is raised here again
            uncompile(gan)
            log.warning(UNCOMPILED, (str(error).strip().splitlines() or [type(error).__name__])[0])
            return output

    return call


def uncompile(gan: GAN) -> None:
    """Undo ``network.compile()`` of both networks."""
    gan.generator._compiled_call_impl = gan.discriminator._compiled_call_impl = None
    gan.state.compiled = False
