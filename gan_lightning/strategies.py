"""Several devices: every rank plays its rows of the same game, and the stepping player's gradients are averaged."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from lightning import LightningModule
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher
from torch import Tensor
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors


class GameStrategy(DDPStrategy):
    """Data parallelism for two players.

    `DistributedDataParallel` expects every parameter in every backward pass, and here only one player's has gradient.
    So nothing is wrapped: weights and buffers start as rank 0's, and after each backward pass whatever gradients there
    are (the stepping player's) are averaged over the ranks in one message, floating-point buffers with them (running
    statistics of batch norm, state of objectives), so that the ranks stay one model.

    Args:
        command: how a further rank on this machine is started. None repeats this process's own command line.
    """

    def __init__(self, command: Sequence[str] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.command = command

    def _configure_launcher(self) -> None:
        if self.command is None:
            return super()._configure_launcher()
        self._launcher = CommandLauncher(self.command, self.cluster_environment, self.num_processes, self.num_nodes)

    @torch.no_grad()
    def configure_ddp(self) -> None:
        for tensor in self.game.state_dict(keep_vars=True).values():
            dist.broadcast(tensor.data, src=0)

    @torch.no_grad()
    def post_backward(self, closure_loss: Tensor) -> None:
        gradients = [weight.grad for weight in self.game.parameters() if weight.grad is not None]
        average(gradients + [buffer for buffer in self.game.buffers() if buffer.is_floating_point()])

    @property
    def game(self) -> LightningModule:
        """The module that is trained."""
        if self.lightning_module is None:
            raise RuntimeError("the strategy has no module before the trainer gives it one")
        return self.lightning_module


def average(tensors: list[Tensor]) -> None:
    """Replace each tensor by its mean over the ranks, in one message. All have one type and device."""
    if not tensors:
        return
    flat = _flatten_dense_tensors(tensors)
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for tensor, mean in zip(tensors, _unflatten_dense_tensors(flat, tensors), strict=True):
        tensor.copy_(mean)


class CommandLauncher(_SubprocessScriptLauncher):
    """Starts further ranks with a given command instead of `sys.argv`, which in a sweep would start the whole sweep."""

    def __init__(self, command: Sequence[str], *args: Any) -> None:
        super().__init__(*args)
        self.command = list(command)

    def _call_children_scripts(self) -> None:
        self._check_can_spawn_children()
        environment = self.cluster_environment
        os.environ["MASTER_ADDR"] = environment.main_address
        os.environ["MASTER_PORT"] = str(environment.main_port)
        os.environ["NODE_RANK"] = str(environment.node_rank())
        os.environ["LOCAL_RANK"] = str(environment.local_rank())
        os.environ["WORLD_SIZE"] = str(self.num_processes * self.num_nodes)
        for local_rank in range(1, self.num_processes):
            self.procs.append(subprocess.Popen(self.command, env={**os.environ, "LOCAL_RANK": str(local_rank)}))
