"""Communication between ranks on the host: without a process group, a rank is alone and each function is its work."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar, cast

import torch.distributed as dist

T = TypeVar("T")

LONGEST_WORK = timedelta(days=2)
"""Of rank 0 alone, such as training a classifier, while the others wait."""


def is_distributed() -> bool:
    """Return whether there is a process group of several ranks."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def broadcast_object(value: T) -> T:
    """Return rank 0's `value`, on every rank."""
    if not is_distributed():
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def all_gather_object(value: T) -> list[T]:
    """Return every rank's `value`, in their order, on every rank."""
    if not is_distributed():
        return [value]
    values = [value] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def run_on_rank_zero(work: Callable[[], T]) -> T:
    """Do `work` on rank 0 alone and return its result on every rank; what it raises is raised on every rank."""
    if not is_distributed():
        return work()
    done = capture_exception(work) if dist.get_rank() == 0 else (None, None)
    wait_for_rank_zero()
    error, result = broadcast_object(done)
    raise_if(error)
    return cast(T, result)  # an error was raised where there is none


def rank_zero_first(work: Callable[[], T]) -> T:
    """Do `work` on rank 0 and then on all others, which find what it has made; return each rank's own result.

    What it raises on any rank is raised on every rank, so that none waits for one that is gone.
    """
    if not is_distributed():
        return work()
    results: list[T] = []
    run_on_rank_zero(lambda: results.append(work()))
    error = None if results else capture_exception(lambda: results.append(work()))[0]
    for found in all_gather_object(error):
        raise_if(found)
    return results[0]


def wait_for_rank_zero() -> None:
    """Wait until rank 0 comes here too: for longer than a broadcast may, which NCCL ends after ten minutes."""
    store, rank = dist.distributed_c10d._get_default_store(), dist.get_rank()
    # Counted where the ranks meet, and not in each process: rank 0 of a sweep has run the jobs before this one too.
    key = f"gan_lightning/done/{store.add(f'gan_lightning/works/{rank}', 1)}"
    if rank == 0:
        store.set(key, "done")
    else:
        store.wait([key], LONGEST_WORK)


def capture_exception(work: Callable[[], T]) -> tuple[Exception | None, T | None]:
    """Do `work` and return what it raised, in a form that can be sent, or its result."""
    try:
        return None, work()
    except OSError as error:
        return OSError(str(error)), None
    except ValueError as error:
        return ValueError(str(error)), None
    except Exception as error:
        return RuntimeError(f"{type(error).__name__}: {error}"), None


def raise_if(error: Exception | None) -> None:
    """Raise `error` if there is one."""
    if error is not None:
        raise error
