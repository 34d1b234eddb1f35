"""Several devices: every rank plays its rows of the same game, and the stepping player's gradients are averaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from lightning import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors
from torch.optim import Optimizer

from gan_lightning.gan import GAN
from gan_lightning.trainer.fast_path import Direct
from gan_lightning.trainer.launcher import CommandLauncher, RankCommand


class JobStrategy(Direct, DDPStrategy):
    """Lightning's own data parallelism, whose further ranks run this job and not `sys.argv`.

    Args:
        command: how a further rank on this machine is started. None repeats this process's own command line.
        kwargs: for `DDPStrategy`.
    """

    def __init__(self, command: RankCommand | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.command = command

    def _configure_launcher(self) -> None:
        if self.command is None:
            return super()._configure_launcher()
        self._launcher = CommandLauncher(self.command, self.cluster_environment, self.num_processes, self.num_nodes)


class GameStrategy(JobStrategy):
    """Data parallelism for two players.

    `DistributedDataParallel` expects every parameter in every backward pass, and here only one player's has gradient.
    So nothing is wrapped: weights and buffers start as rank 0's, and before each optimizer step the gradients of its
    weights are averaged over the ranks, once for all micro-batches. Floating-point buffers (running statistics of batch
    norm, state of objectives) are averaged with them, so that the ranks stay one model.

    They travel as one flat message, as in StyleGAN3 (Karras et al. 2021).
    """

    @property
    def game(self) -> GAN:
        """Return the GAN that is trained."""
        if not isinstance(self.lightning_module, GAN):
            raise TypeError("this strategy averages the gradients of a GAN, and the trainer has given it none")
        return self.lightning_module

    def setup(self, trainer: Trainer) -> None:
        # Lightning exchanges before every batch whether rank 0 got a SIGTERM, which waits for the GPU each time. Here
        # rank 0 saves and ends the others.
        trainer.fit_loop.epoch_loop.__dict__["_broadcast_sigterm_tensor"] = lambda: None
        super().setup(trainer)

    @torch.no_grad()
    def configure_ddp(self) -> None:
        by_type: dict[torch.dtype, list[Tensor]] = {}
        for tensor in self.game.state_dict(keep_vars=True).values():
            by_type.setdefault(tensor.dtype, []).append(tensor.data)
        for tensors in by_type.values():
            flat = _flatten_dense_tensors(tensors)
            dist.broadcast(flat, src=0)
            write_back(flat, tensors)
        parts = (self.game.generator, self.game.discriminator, *self.game.objectives.values())
        self.homes = [module for part in parts for module in part.modules() if module._buffers]

    def optimizer_step(
        self, optimizer: Optimizer, closure: Callable[[], Any], model: GAN | nn.Module | None = None, **kwargs: Any
    ) -> Any:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        tensors = [*(weight.grad for weight in weights if weight.grad is not None), *self.buffers()]
        if tensors:
            flat = _flatten_dense_tensors(tensors)
            dist.all_reduce(flat)
            write_back(flat.div_(dist.get_world_size()), tensors)
        return super().optimizer_step(optimizer, closure, model, **kwargs)

    def buffers(self) -> list[Tensor]:
        """Return the floating-point buffers of players and objectives, as they are now: a module may replace one."""
        found = [buffer for module in self.homes for buffer in module._buffers.values()]
        return [buffer for buffer in found if buffer is not None and buffer.is_floating_point()]


def write_back(flat: Tensor, tensors: list[Tensor]) -> None:
    """Copy the values of one flat tensor into those that it was made of."""
    torch._foreach_copy_(tensors, list(_unflatten_dense_tensors(flat, tensors)))
