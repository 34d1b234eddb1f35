"""Means over the ranks of one machine's processor, through memory that all of them see."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

MARK_BYTES = 64
"""What a rank's mark takes, so that no two of them share a line of the processor's cache."""

PATIENCE_S = 1.0
"""Seconds of waiting from one look at whether the others are still there to the next."""


class SharedMemory:
    """Takes means of float32 values over all ranks, which must be processes of one machine.

    A message between processes takes milliseconds even if it is small, since threads of the network stack are woken for
    it: longer than a toy's whole turn. Here each rank writes its values where the others read them, and then a mark.
    The mean is summed in the order of the ranks by each of them, so that all get the same bits.

    There are two sides, taken in turns. A rank that has marked a message has read all before it, so whoever has seen
    all marks of a message may write over the one before.

    Args:
        path: of an empty file of `size_of(ranks, values)` bytes.
        rank: of this process.
        ranks: how many there are.
        values: the longest message.
    """

    def __init__(self, path: Path, rank: int, ranks: int, values: int) -> None:
        self.rank, self.sent = rank, 0
        memory = np.memmap(path, np.uint8, "r+")
        marks = memory[: ranks * MARK_BYTES].view(np.int64).reshape(ranks, -1)
        self.marks, self.processes = marks[:, 0], marks[:, 1]
        self.sides = torch.from_numpy(memory[ranks * MARK_BYTES :].view(np.float32).reshape(2, ranks, values))
        self.processes[rank] = os.getpid()

    @torch.no_grad()
    def mean(self, tensors: Sequence[Tensor]) -> Tensor:
        """The mean over the ranks of the values of all `tensors`, one after another, as one tensor.

        Raises:
            ConnectionError: a rank is gone.
        """
        count = sum(tensor.numel() for tensor in tensors)
        side = self.sides[self.sent % 2, :, :count]
        torch.cat([tensor.detach().flatten() for tensor in tensors], out=side[self.rank])
        self.sent += 1
        self.marks[self.rank] = self.sent
        self._wait()
        return side.mean(dim=0)

    def _wait(self) -> None:
        """Return once all ranks have sent as many messages."""
        look = time.monotonic() + PATIENCE_S
        while self.marks.min() < self.sent:
            os.sched_yield()
            if time.monotonic() > look:
                for rank in np.flatnonzero(self.marks < self.sent):
                    if not is_running(int(self.processes[rank])):
                        raise ConnectionError(f"rank {rank} is gone")
                look = time.monotonic() + PATIENCE_S


def size_of(ranks: int, values: int) -> int:
    """Bytes that messages of so many float32 `values` take."""
    return ranks * (MARK_BYTES + 2 * 4 * values)


def share_memory(values: int) -> SharedMemory | None:
    """Memory for messages of so many `values` among the ranks of this process group; None where there is no room.

    All ranks call it. The file has no name any more when it returns, so nothing is left behind whatever ends them.
    """
    rank, ranks = dist.get_rank(), dist.get_world_size()
    path: list[str | None] = [reserve(size_of(ranks, values)) if rank == 0 else None]
    dist.broadcast_object_list(path, src=0)
    if path[0] is None:
        return None
    memory = SharedMemory(Path(path[0]), rank, ranks, values)
    dist.barrier()
    if rank == 0:
        os.unlink(path[0])
    return memory


def reserve(size: int) -> str | None:
    """A new file of `size` zeros in memory, for which there is room; None if there is not."""
    try:
        handle, path = tempfile.mkstemp(prefix="gan_lightning_", dir="/dev/shm")
    except OSError:
        return None
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError:
        os.unlink(path)
        return None
    finally:
        os.close(handle)
    return path


def is_running(process: int) -> bool:
    """Whether there is a process of this number, be it another user's."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
