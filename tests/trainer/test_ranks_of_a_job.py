"""Several ranks, however they are started: each plays the settings of its own job, and none is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from helpers.run_script import ROOT, TINY, Command, run_anew

SHORT = (*TINY, "max_iterations=3", "callbacks.density=null", "logger=csv")


def state(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def assert_same_game(run: Path, other: Path) -> None:
    one, two = state(run), state(other)
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


def result(run: Path) -> dict:
    return json.loads((run / "result.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("how", [["-m"], ["launcher=joblib"], ["launcher=submitit_local"]], ids="-".join)
def test_jobs_of_a_sweep_train_their_own_settings_on_every_rank(how: list[str], tmp_path: Path):
    sweep = ("optimizer.lr=0.01,0.02", "trainer.devices=1,2", "hydra.sweep.dir=sweep", "name='a b,c=d'")
    # Not a fork: the processes that joblib starts import the main module of this one again.
    done = run_anew(tmp_path, "train.py", *how, *SHORT, *sweep)
    assert done.returncode == 0, done.stderr
    names = [f"optimizer.lr={rate},trainer.devices={devices},seed=0" for rate in (0.01, 0.02) for devices in (1, 2)]
    jobs = [tmp_path / "sweep" / name for name in names]
    assert [result(job)["status"] for job in jobs] == ["finished"] * 4
    assert_same_game(jobs[0], jobs[1])
    assert_same_game(jobs[2], jobs[3])
    first, second = (state(job)["generator.hidden.1.0.weight"] for job in (jobs[0], jobs[2]))
    assert not torch.allclose(first, second, rtol=1e-3)


@pytest.mark.slow
def test_a_search_trains_what_it_drew_on_every_rank(command: Command, tmp_path: Path):
    search = ("hparams_search=optuna", "hydra.sweeper.n_trials=2")
    done = command("train.py", *search, *SHORT, "trainer.devices=2", "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text())
    values = [result(job)["best"]["val/wasserstein1"] for job in sorted((tmp_path / "sweep").glob("trial=*"))]
    assert found["best_value"] == min(values)
    [second] = (tmp_path / "sweep").glob("trial=1,*")
    drawn = yaml.safe_load((second / "config.yaml").read_text())["optimizer"]
    again = (f"optimizer.lr={drawn['lr']}", f"optimizer.betas={drawn['betas']}", "hydra.run.dir=again")
    assert command("train.py", *SHORT, *again).returncode == 0
    assert_same_game(tmp_path / "again", second)


@pytest.mark.slow
def test_torchrun_starts_the_ranks_of_one_run(tmp_path: Path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    game = [str(ROOT / "train.py"), *SHORT, "trainer.devices=2"]
    done = subprocess.run([*torchrun, *game], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished: 3 iterations, 360 images") == 1
    (run,) = (tmp_path / "outputs" / "runs").iterdir()
    assert result(run)["status"] == "finished"
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]


@pytest.mark.slow
@pytest.mark.parametrize(("nodes", "devices"), [(1, 2), (2, 1), (2, 2)])
def test_srun_starts_the_ranks_of_one_run_or_one_a_machine(nodes: int, devices: int, tmp_path: Path):
    """Two tasks, with the variables that srun gives them; both machines are this one."""
    processes = []
    for task in (0, 1):
        place = {"SLURM_NODEID": task if nodes == 2 else 0, "SLURM_LOCALID": 0 if nodes == 2 else task}
        job = {"SLURM_JOB_NAME": "gan", "SLURM_JOB_ID": 4000 + 10 * nodes + devices, "SLURM_NODELIST": "localhost"}
        tasks = {"SLURM_NTASKS": 2, "SLURM_NNODES": nodes, "SLURM_PROCID": task}
        slurm = {name: str(value) for name, value in {**job, **tasks, **place}.items()}
        game = [str(ROOT / "train.py"), *SHORT, f"trainer.num_nodes={nodes}", f"trainer.devices={devices}"]
        environment = {**os.environ, **slurm}
        processes.append(
            subprocess.Popen([sys.executable, *game], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
        )
    printed = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert "finished: 3 iterations, 360 images" in printed[0]
    assert printed[1] == ""
    assert len(list((tmp_path / "outputs" / "runs").iterdir())) == 1


ENDLESS = (
    *SHORT,
    *("max_iterations=1000000", "evaluate_every=1000000", "checkpoint_every=1000000", "samples_every=1000000"),
    *("trainer.devices=2", "hydra.run.dir=run", "callbacks.progress=null"),
)


def playing(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """A game of two ranks that has begun, and the process id of rank 1."""
    with (folder / "errors").open("w") as errors:
        command = [sys.executable, str(ROOT / "train.py"), *ENDLESS]
        process = subprocess.Popen(command, cwd=folder, stderr=errors, text=True)
    numbers, until = folder / "run" / "metrics.csv", time.monotonic() + 120
    while not numbers.is_file() or len(numbers.read_text().splitlines()) < 3:
        assert process.poll() is None, (folder / "errors").read_text()
        assert time.monotonic() < until
        time.sleep(0.2)
    children = Path(f"/proc/{process.pid}/task").glob("*/children")
    pids = [int(pid) for file in children for pid in file.read_text().split()]
    (rank,) = (pid for pid in pids if b"gan_lightning.cli.train" in Path(f"/proc/{pid}/cmdline").read_bytes())
    return process, rank


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")
def test_a_rank_that_dies_ends_the_run_with_a_sentence(tmp_path: Path):
    process, rank = playing(tmp_path)
    os.kill(rank, signal.SIGKILL)
    assert process.wait(60) == 1
    said = (tmp_path / "errors").read_text()
    assert said.splitlines()[-1] == "rank 1 ended with code -9: the run is stopped" and "Traceback" not in said
    assert result(tmp_path / "run")["status"] == "failed"
    assert result(tmp_path / "run")["error"] == "rank 1 ended with code -9: the run is stopped"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")
def test_no_rank_outlives_the_first(tmp_path: Path):
    process, rank = playing(tmp_path)
    process.kill()
    until = time.monotonic() + 15
    while Path(f"/proc/{rank}").exists() and time.monotonic() < until:
        time.sleep(0.1)
    process.wait()
    assert not Path(f"/proc/{rank}").exists()
