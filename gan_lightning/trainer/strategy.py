"""Several devices: every rank plays its rows of the same game, and the stepping player's gradients are averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from lightning import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors
from torch.optim import Optimizer

from gan_lightning.gan import GAN
from gan_lightning.trainer.launcher import CommandLauncher, RankCommand
from gan_lightning.trainer.shared_memory import SharedMemory, share_memory

BUCKET_BYTES = 25 * 2**20
"""Gradients of more than this travel in several messages, each as soon as the backward pass has computed it."""


class JobStrategy(DDPStrategy):
    """Lightning's own data parallelism, whose further ranks play this job and not `sys.argv`.

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

    Gradients of up to `BUCKET_BYTES` are one message; those of a larger player are sent while the last backward pass
    still computes the others. Between processes of one machine's processor, small ones go through shared memory.
    """

    def __init__(self, command: RankCommand | None = None, **kwargs: Any) -> None:
        super().__init__(command, **kwargs)
        self.messages: dict[int, Messages] = {}

    @property
    def game(self) -> GAN:
        """The game that is trained."""
        if not isinstance(self.lightning_module, GAN):
            raise TypeError("this strategy averages the gradients of a GAN, and the trainer has given it none")
        return self.lightning_module

    def setup(self, trainer: Trainer) -> None:
        # Lightning asks before every batch whether rank 0 was told to end, which has a GPU waited for each time. Who is
        # told so here saves and ends the others.
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
        parts = (self.game.generator, self.game.discriminator, self.game.objectives)
        self.homes = [module for part in parts for module in part.modules() if module._buffers]
        self.messages.clear()
        self.memory = self.memory_for(max(sum(w.numel() for w in part.parameters()) for part in parts[:2]))

    def memory_for(self, weights: int) -> SharedMemory | None:
        """Where means of as many values are taken; None where the ranks have no memory in common, or these are many."""
        values = weights + sum(buffer.numel() for buffer in self.buffers())
        on_one_processor = self.root_device.type == "cpu" and dist.get_world_size() == self.num_processes
        return share_memory(values) if on_one_processor and 4 * values <= BUCKET_BYTES else None

    def pre_backward(self, closure_loss: Tensor) -> None:
        for messages in self.messages.values():
            messages.sending = self.game.last_piece

    def optimizer_step(
        self, optimizer: Optimizer, closure: Callable[[], Any], model: GAN | nn.Module | None = None, **kwargs: Any
    ) -> Any:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        if self.memory is not None:
            tensors = [*(weight.grad for weight in weights if weight.grad is not None), *self.buffers()]
            write_back(self.memory.mean(tensors), tensors)
        else:
            if id(optimizer) not in self.messages:
                self.messages[id(optimizer)] = Messages(weights)
            self.messages[id(optimizer)].finish(self.buffers())
        return super().optimizer_step(optimizer, closure, model, **kwargs)

    def buffers(self) -> list[Tensor]:
        """The floating-point buffers of players and objectives, as they are now: a module may have replaced one."""
        found = [buffer for module in self.homes for buffer in module._buffers.values()]
        return [buffer for buffer in found if buffer is not None and buffer.is_floating_point()]


class Messages:
    """The gradients of one player on their way to their mean over the ranks.

    Args:
        weights: the player's, in the order of the network.

    Attributes:
        sending: whether the backward pass that comes is the last before the step, so that what it completes may leave.
    """

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self.sending = False
        self.buckets = buckets([weight for weight in weights if weight.requires_grad])
        self._sent: list[tuple[dist.Work, Tensor, list[Tensor]]] = []
        self._start_anew()
        if len(self.buckets) > 1:
            for number, bucket in enumerate(self.buckets):
                for weight in bucket:
                    weight.register_post_accumulate_grad_hook(lambda _, number=number: self._arrived(number))

    def _start_anew(self) -> None:
        self.sending, self._next = False, 0
        self._missing = [len(bucket) for bucket in self.buckets]

    def _arrived(self, number: int) -> None:
        """A gradient of bucket `number` is complete. Buckets leave in one order, which all ranks share."""
        if self.sending:
            self._missing[number] -= 1
            while self._next < len(self.buckets) and self._missing[self._next] == 0:
                self._send_next()

    def _send_next(self, further: Sequence[Tensor] = ()) -> None:
        gradients = [weight.grad for weight in self.buckets[self._next] if weight.grad is not None]
        self._send([*gradients, *further])
        self._next += 1

    def _send(self, tensors: list[Tensor]) -> None:
        if tensors:
            flat = _flatten_dense_tensors(tensors)
            work = dist.all_reduce(flat, async_op=True)
            assert work is not None  # an asynchronous call has one
            self._sent.append((work, flat, tensors))

    @torch.no_grad()
    def finish(self, further: Sequence[Tensor] = ()) -> None:
        """Send what has not left, the tensors `further` with the last, and put every mean where it belongs."""
        while self._next < len(self.buckets) - 1:
            self._send_next()
        if self._next < len(self.buckets):
            self._send_next(further)
        else:
            self._send([*further])
        for work, flat, tensors in self._sent:
            work.wait()
            flat /= dist.get_world_size()
            write_back(flat, tensors)
        self._sent.clear()
        self._start_anew()


def buckets(weights: Sequence[Tensor]) -> list[list[Tensor]]:
    """`weights` from last to first, as a backward pass completes them, in groups of about `BUCKET_BYTES`."""
    groups: list[list[Tensor]] = []
    size = 0
    for weight in reversed(weights):
        if not groups or size >= BUCKET_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(weight)
        size += weight.numel() * weight.element_size()
    return groups


def write_back(flat: Tensor, tensors: list[Tensor]) -> None:
    """Copy the values of one flat tensor into those that it was made of."""
    torch._foreach_copy_(tensors, list(_unflatten_dense_tensors(flat, tensors)))
