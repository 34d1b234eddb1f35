"""Both networks compiled, in place and before the first turn."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from gan_lightning.game import Batch, Player
from gan_lightning.gan import GAN, as_gan
from gan_lightning.trainer.fast_path import frozen

log = logging.getLogger(__name__)

UNCOMPILED = "the networks run uncompiled, for trainer.compile cannot work here: %s"

PLAYERS: tuple[Player, ...] = ("discriminator", "generator")


class Compile(Callback):
    """Compiles generator and discriminator with ``torch.compile``, by a rehearsal of one turn that leaves no trace.

    Each network is compiled for the two ways that a turn calls it: the generator with and without gradient, the
    discriminator with its weights free and frozen. Whatever else calls them runs them as they were written: penalties,
    which need second derivatives; the evaluations of the discriminator; and the averaged generator, which is a copy. So
    nothing is compiled again later, as long as batches keep their shape.

    Where compiling fails (no C++ compiler, say), one line tells why and the networks run as they were written. So it is
    with spectral norm, whose vectors a second pass overwrites before the backward pass of the first.

    Args:
        cuda_graphs: also replay each compiled network as a CUDA graph, which spares small networks the launching of
            their kernels one by one.
    """

    def __init__(self, cuda_graphs: bool = False) -> None:
        self.cuda_graphs = cuda_graphs

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        gan, started = as_gan(pl_module), time.monotonic()
        log.info("compiling both networks, which may take a minute")
        networks = gan.generator, gan.discriminator
        if any(is_parametrized(module) for network in networks for module in network.modules()):
            log.warning(UNCOMPILED, "spectral norm changes between two passes")
            return
        for network in networks:
            network.compile(mode="reduce-overhead" if self.cuda_graphs else "default", dynamic=False)
        gan.compiled = True
        try:
            with trainer.precision_plugin.forward_context(), unchanged(gan):
                rehearse(gan, next(iter(trainer.train_dataloader or ())))
        except Exception as error:  # a backend may raise anything
            uncompile(*networks)
            gan.compiled = False
            reason = str(error).strip().splitlines() or [type(error).__name__]
            log.warning(UNCOMPILED, reason[0])
        else:
            log.info("compiled in %.0f s", time.monotonic() - started)

    def next_iteration(self, iterations: int) -> float:
        """At every turn where graphs are replayed, else never."""
        return iterations if self.cuda_graphs else math.inf

    def on_train_batch_start(self, *args: Any) -> None:
        if self.cuda_graphs:
            torch.compiler.cudagraph_mark_step_begin()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        gan = as_gan(pl_module)
        uncompile(gan.generator, gan.discriminator)
        gan.compiled = False


def rehearse(gan: GAN, batch: Batch) -> None:
    """Both players' forward and backward passes of one turn, as `GAN.training_step` makes them, without a step."""
    size = len(batch[0])
    for player in PLAYERS:
        with frozen(gan.discriminator_weights if player == "generator" else []):
            for piece in gan.pieces(player, batch, differentiable=player == "generator" or gan.share_fakes):
                terms = [term for _, term in gan.terms(player, gan.round(player, piece, size), share=1.0)]
                with torch.autocast(gan.device.type, enabled=False):
                    torch.stack(terms).sum().backward()


@contextmanager
def unchanged(gan: GAN) -> Iterator[None]:
    """Afterwards, `gan` has the weights and buffers that it has now, and no gradients."""
    before = {name: tensor.clone() for name, tensor in gan.state_dict().items()}
    try:
        yield
    finally:
        gan.load_state_dict(before)
        gan.zero_grad(set_to_none=True)


def uncompile(*networks: nn.Module) -> None:
    """Undo ``network.compile()``."""
    for network in networks:
        network._compiled_call_impl = None
