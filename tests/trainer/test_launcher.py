from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment

from gan_lightning.trainer.launcher import CommandLauncher, RankCommand, RankDiedError, available_cores
from gan_lightning.trainer.ranks import kept_environment

WAIT = "import time; time.sleep(60)"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with kept_environment():
        yield


def launcher(script: str, ranks: int = 2) -> CommandLauncher:
    command = RankCommand([sys.executable, "-c", script], {"GREETING": "hello"})
    return CommandLauncher(command, LightningEnvironment(), ranks, 1)


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text()


def test_ranks_get_their_place_and_share_the_cores(tmp_path: Path):
    names = ("LOCAL_RANK", "WORLD_SIZE", "GREETING", "OMP_NUM_THREADS")
    script = f"import os; open({str(tmp_path)!r} + '/' + os.environ['LOCAL_RANK'], 'w').write("
    script += f"' '.join(os.environ[name] for name in {names}))"
    assert launcher(script, ranks=3).launch(lambda: torch.get_num_threads()) == max(available_cores() // 3, 1)
    share = str(max(available_cores() // 3, 1))
    for rank in (1, 2):
        assert (tmp_path / str(rank)).read_text().split() == [str(rank), "3", "hello", share]


def test_the_number_of_threads_that_the_user_set_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    threads = torch.get_num_threads()
    script = f"import os; open({str(tmp_path / 'threads')!r}, 'w').write(os.environ['OMP_NUM_THREADS'])"
    assert launcher(script).launch(torch.get_num_threads) == threads
    assert (tmp_path / "threads").read_text() == "7"


def test_ranks_that_others_started_are_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    ranks = launcher(WAIT)
    assert ranks.launch(lambda: len(ranks.procs)) == 0


def test_no_rank_outlives_a_mistake():
    ranks = launcher(WAIT)
    pids: list[int] = []

    def fail() -> None:
        pids.extend(process.pid for process in ranks.procs)
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        ranks.launch(fail)
    assert len(pids) == 1
    assert not is_running(pids[0])


def test_a_connection_lost_to_a_dead_rank_is_reported_as_its_death():
    ranks = launcher(WAIT)

    def lose() -> None:
        os.kill(ranks.procs[0].pid, signal.SIGKILL)
        raise RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer")

    with pytest.raises(RankDiedError, match="rank 1 ended with code -9: the run is stopped"):
        ranks.launch(lose)


def test_a_mistake_that_all_ranks_share_is_reported_as_it_is():
    ranks = launcher("raise SystemExit(1)")

    def fail() -> None:
        ranks.procs[0].wait()
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        ranks.launch(fail)


def test_ranks_that_were_ended_are_no_error():
    ranks = launcher(WAIT)

    def leave() -> None:
        ranks.kill(signal.SIGKILL)
        raise SystemExit(75)

    with pytest.raises(SystemExit, match="75"):
        ranks.launch(leave)


def test_a_process_that_waits_for_a_dead_rank_is_ended(tmp_path: Path):
    """As on a GPU, where the first rank would wait for ever."""
    script = f"""
import sys, time
from lightning.pytorch.plugins.environments import LightningEnvironment
from gan_lightning.trainer import launcher as launchers
launchers.GRACE_S = 0.5
told = lambda reason: open({str(tmp_path / "reason")!r}, "w").write(reason)
ranks = [sys.executable, "-c", "import os, time; time.sleep(60 if os.environ['LOCAL_RANK'] == '1' else 0); exit(3)"]
launcher = launchers.CommandLauncher(launchers.RankCommand(ranks, on_stop=told), LightningEnvironment(), 3, 1)
launcher.launch(lambda: (print(launcher.procs[0].pid, flush=True), time.sleep(100)))
"""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=90)
    assert (done.returncode, done.stderr) == (1, "rank 2 ended with code 3: the run is stopped\n")
    assert time.monotonic() - started < 60
    assert (tmp_path / "reason").read_text() == "rank 2 ended with code 3: the run is stopped"
    assert not is_running(int(done.stdout))
