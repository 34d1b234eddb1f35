"""Means through memory, among processes that start with different values."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from gan_lightning.trainer import shared_memory
from gan_lightning.trainer.shared_memory import SharedMemory, is_running, reserve, size_of

MESSAGES = 200


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "memory"
    file.write_bytes(bytes(size_of(3, 10)))
    return file


def take_part(path: Path, rank: int, found: Path) -> None:
    memory = SharedMemory(path, rank, 3, 10)
    means = []
    for number in range(MESSAGES):
        if (number * 7 + rank) % 50 == 0:
            time.sleep(0.002)  # each is late now and then
        values = [torch.full((2, 2), number + 1.0) * rank, torch.arange(float(number % 7)) * 2**rank]
        means.append(memory.mean(values).numpy())
    np.savez(found / f"{rank}.npz", *means)


def test_every_rank_gets_the_mean_of_every_message(path: Path, tmp_path: Path):
    context = multiprocessing.get_context("fork")
    ranks = [context.Process(target=take_part, args=(path, rank, tmp_path)) for rank in range(3)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(60)
        assert process.exitcode == 0
    for rank in range(3):
        means = np.load(tmp_path / f"{rank}.npz")
        for number in range(MESSAGES):
            wanted = [*[number + 1.0] * 4, *(np.arange(number % 7) * 7 / 3)]
            np.testing.assert_allclose(means[f"arr_{number}"], wanted, rtol=1e-6)


def test_a_rank_that_is_gone_is_told(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shared_memory, "PATIENCE_S", 0.01)
    context = multiprocessing.get_context("fork")
    memories = [SharedMemory(path, rank, 3, 10) for rank in range(3)]
    child = context.Process(target=lambda: None)
    child.start()
    child.join()
    memories[0].processes[1] = child.pid or 0
    memories[2].marks[2] = 1
    with pytest.raises(ConnectionError, match="rank 1 is gone"):
        memories[0].mean([torch.ones(3)])


def test_room_is_reserved_or_refused():
    path = reserve(1000)
    assert path is not None
    try:
        assert os.path.getsize(path) == 1000
    finally:
        os.unlink(path)
    before = set(Path("/dev/shm").iterdir())
    assert reserve(2**60) is None
    assert not {file for file in set(Path("/dev/shm").iterdir()) - before if file.name.startswith("gan_lightning_")}


def test_a_process_is_there_or_not():
    assert is_running(os.getpid())
    assert is_running(1)
