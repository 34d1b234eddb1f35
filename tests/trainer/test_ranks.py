from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.compose import composed

from gan_lightning.runs.compatibility import ranks_and_devices
from gan_lightning.trainer.ranks import (
    LAUNCHED_BY,
    first_node,
    kept_environment,
    prepare_rank,
    slurm_env,
    started_as_rank_zero,
)
from gan_lightning.utils.errors import UserError

TORCHRUN = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "RANK": "3", "LOCAL_RANK": "1"}
SRUN = {
    "SLURM_JOB_NAME": "gan",
    "SLURM_JOB_ID": "123456",
    "SLURM_NODELIST": "node[07-08]",
    "SLURM_NNODES": "2",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_NODEID": "1",
    "SLURM_LOCALID": "1",
}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch):
    for name in (*TORCHRUN, *SRUN, "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    with kept_environment():
        yield


def given(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], **changes: str) -> None:
    for name, value in {**variables, **changes}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("variables", [TORCHRUN, SRUN])
def test_a_further_rank_has_no_directory_and_no_log_of_its_own(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    assert prepare_rank(["loss=gan"]) == ["loss=gan"]
    given(monkeypatch, variables)
    assert not started_as_rank_zero()
    first, quiet, directory = prepare_rank(["loss=gan"])
    assert (first, quiet) == ("loss=gan", "hydra/job_logging=none")
    key, folder = directory.split("=")
    assert key == "hydra.run.dir"
    assert not list(Path(folder).iterdir())
    # One directory for all ranks: where it resumes, each reads the same checkpoint.
    assert prepare_rank(["hydra.run.dir=there"]) == ["hydra.run.dir=there", "hydra/job_logging=none"]


@pytest.mark.parametrize("variables", [TORCHRUN, SRUN])
@pytest.mark.parametrize(
    "sweep", ["-m", "--multirun", "hydra.mode=MULTIRUN", "launcher=joblib", "hparams_search=optuna"]
)
def test_a_sweep_in_each_of_several_processes_is_refused(
    sweep: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    given(monkeypatch, variables)
    with pytest.raises(UserError, match="started 4 processes, and each would run the whole sweep"):
        prepare_rank([sweep, "seed=0,1"])
    prepare_rank(["launcher=null", "hydra.run.dir=there"])


def test_interactive_shells_of_slurm_are_no_ranks(monkeypatch: pytest.MonkeyPatch):
    given(monkeypatch, SRUN, SLURM_JOB_NAME="interactive")
    assert started_as_rank_zero()
    assert prepare_rank(["-m"]) == ["-m"]


@pytest.mark.parametrize(
    ("variables", "fitting", "wrong"),
    [
        (TORCHRUN, [(2, 2), (4, 1)], [(1, 1), (2, 1), (1, 2)]),
        (SRUN, [(2, 2), (4, 1), (3, 4)], [(1, 1), (2, 1)]),  # 3 x 4: one task a machine
    ],
)
def test_as_many_processes_as_devices(
    variables: dict[str, str],
    fitting: list[tuple[int, int]],
    wrong: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
):
    given(monkeypatch, variables)
    for devices, nodes in (*fitting, *wrong):
        with composed(f"trainer.devices={devices}", f"trainer.num_nodes={nodes}", "data.batch_size=96") as config:
            problems = list(ranks_and_devices(config))
        assert bool(problems) == ((devices, nodes) in wrong)
        assert all("choose trainer.devices=2 trainer.num_nodes=2" in problem for problem in problems)


def test_tasks_of_slurm_are_ranks_or_one_a_machine(monkeypatch: pytest.MonkeyPatch):
    given(monkeypatch, SRUN)
    slurm_env(processes=4)
    names = ("NODE_RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    assert [os.environ.get(name) for name in names] == ["1", "1", "node07", "18456"]
    monkeypatch.delenv("LOCAL_RANK")
    given(monkeypatch, SRUN, SLURM_NTASKS="2", SLURM_PROCID="1", SLURM_LOCALID="0")
    slurm_env(processes=8)
    assert [os.environ.get(name) for name in names] == ["1", None, "node07", "18456"]


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("a", "a"), ("a,b", "a"), ("n[3-7,12],m", "n3"), ("n[3,12]", "n3"), ("n[05]", "n05"), ("gpu-1 gpu-2", "gpu-1")],
)
def test_the_first_of_a_list_of_nodes(nodes: str, first: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLURM_NODELIST", nodes)
    assert first_node() == first


def test_a_rank_ends_with_the_process_that_started_it():
    child = "import time; from gan_lightning.trainer.ranks import exit_with_parent as start; start(); "
    child += "print('ready', flush=True); time.sleep(60)"
    parent = (
        f"import os, subprocess, sys, time\nenv = {{**os.environ, {LAUNCHED_BY!r}: str(os.getpid())}}\n"
        f"print(subprocess.Popen([sys.executable, '-c', {child!r}], env=env).pid, flush=True)\ntime.sleep(60)"
    )
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert process.stdout.readline() == "ready\n"
        process.kill()
    until = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()
