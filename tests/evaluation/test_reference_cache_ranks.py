"""Processes that evaluate together, or keep statistics of the same data at once, find the numbers of a single one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.evaluated_images import RandomImages, Sums, images_seen, make_evaluator, values

from gan_lightning.evaluation.evaluator import Evaluator
from gan_lightning.metrics.fid import FrechetDistance
from gan_lightning.utils.distributed import rank_zero_first, run_on_rank_zero


@pytest.mark.slow
def test_processes_that_start_at_once_agree(tmp_path: Path):
    expected = values(make_evaluator(None), RandomImages())
    found = processes(tmp_path, 6, "alone")
    assert all(one == expected for one in found)
    assert images_seen(make_evaluator(tmp_path / "cache"), RandomImages()) == 0
    assert not list(tmp_path.glob("cache/statistics/.*")), "nothing is left behind"


@pytest.mark.slow
def test_two_ranks_are_one_with_and_without_what_is_kept(tmp_path: Path):
    """Which have unequal shares, of batches that do not divide them."""
    expected = values(make_evaluator(None), RandomImages())
    cold, warm = processes(tmp_path, 2, "ranks"), processes(tmp_path, 2, "ranks")
    for run in (cold, warm):
        assert run[0] == run[1]
        assert run[0] == pytest.approx(expected, rel=1e-6)
    assert warm == cold
    assert images_seen(make_evaluator(tmp_path / "cache"), RandomImages()) == 0
    assert values(make_evaluator(tmp_path / "cache"), RandomImages()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_an_error_on_one_rank_is_raised_on_both(tmp_path: Path):
    started = time.monotonic()
    for kind in ("first", "second"):
        assert processes(tmp_path, 2, kind) == [f"{kind} has no weights"] * 2
    assert time.monotonic() - started < 120


@pytest.mark.slow
def test_two_ranks_evaluate_where_nothing_can_be_kept(tmp_path: Path):
    """With two metrics, for each of which both ranks are needed."""
    (tmp_path / "cache").write_text("in the way")
    first, second = processes(tmp_path, 2, "ranks")
    assert first == second == pytest.approx(values(make_evaluator(None), RandomImages()), rel=1e-6)


@pytest.mark.slow
def test_rank_0_may_take_longer_than_a_message(tmp_path: Path):
    assert processes(tmp_path, 2, "patient") == [[0, 0], [1, 0]]


def processes(folder: Path, count: int, kind: str) -> list[Any]:
    """What `main` finds in each of `count` processes."""
    (folder / "meeting").unlink(missing_ok=True)
    path = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parents[2])])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen([sys.executable, __file__, str(folder), str(rank), kind], env=environment)
        for rank in range(count)
    ]
    assert [process.wait(timeout=300) for process in ranks] == [0] * count
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(count)]


class Failing(Sums):
    """Cannot be had on one of two ranks."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.failing = rank

    def prepare(self, data: object) -> None:
        if torch.distributed.get_rank() == self.failing:
            raise ValueError(f"{('first', 'second')[self.failing]} has no weights")


def main(folder: Path, rank: int, kind: str) -> None:
    found: Any
    if kind == "alone":
        found = values(make_evaluator(folder / "cache"), RandomImages())
    else:
        torch.distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
        if kind == "ranks":
            made = make_evaluator(folder / "cache")
            made.prepare_reference(RandomImages(), "cpu", rank, 2)
            fakes = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(5)) * 2 - 1
            own = fakes[:13] if rank == 0 else fakes[13:]
            found = made.evaluate(((part, None) for part in own.split(7)), len(own), rank)
        elif kind == "patient":

            def work() -> int:
                time.sleep(6 if rank == 0 else 0)
                return rank

            torch.distributed.barrier()  # and from here on, no rank waits for long
            torch.distributed.distributed_c10d._set_pg_timeout(timedelta(seconds=3))
            found = [rank_zero_first(work), run_on_rank_zero(work)]
        else:
            try:
                metric = FrechetDistance(Failing(("first", "second").index(kind)))
                Evaluator({"fid": metric}, 7).prepare_reference(RandomImages(), "cpu", rank, 2)
                found = "nothing"
            except ValueError as error:
                found = str(error)
        torch.distributed.destroy_process_group()
    (folder / f"{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
