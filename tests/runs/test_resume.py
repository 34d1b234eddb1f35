"""Runs that stop and resume: bit for bit those that were left alone."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.compose import composed, job_part
from helpers.jobs import train
from helpers.run_script import ROOT, TINY, Command, start_script

from gan_lightning.utils.errors import UserError, WorkError
from gan_lightning.utils.stop_signals import Interrupted

SMALL_RING = (
    "experiment=ring",
    "schedule=constant",
    "data.train_size=64",
    "data.batch_size=16",  # an epoch is four turns
    "data.reference_size=100",
    "metrics.num_fakes=100",
    "callbacks.density=null",
    "evaluate_every=2",
    "checkpoint_every=3",
    "log_every=1",
    "logger=csv",
    "trainer.accelerator=cpu",
)

GAMES = {
    "gan": ("loss=gan",),
    "wgan_gp": ("loss=wgan_gp",),
    "stateful": ("loss=gan", "+loss.objectives.drifting._target_=helpers.tiny_gan.Drifting"),
}


def trained(directory: Path, *overrides: str) -> dict[str, Any]:
    with composed(*SMALL_RING, *overrides, directory=directory) as config:
        return train(job_part(config))


def last(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)
    return content


def result(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "result.json").read_text())
    return content


def rows(directory: Path) -> list[dict[str, str]]:
    """The numbers of a run, but for how fast it was."""
    with (directory / "metrics.csv").open(newline="") as file:
        return [{**row, "images_per_second": ""} for row in csv.DictReader(file)]


def assert_same(found: Any, expected: Any, where: str = "") -> None:
    """Two nested states are equal in every bit."""
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), where
    elif isinstance(expected, Mapping):
        assert list(found) == list(expected), where
        for name in expected:
            assert_same(found[name], expected[name], f"{where}.{name}")
    elif isinstance(expected, Sequence) and not isinstance(expected, str):
        assert len(found) == len(expected), where
        for index, item in enumerate(expected):
            assert_same(found[index], item, f"{where}[{index}]")
    else:
        assert found == expected, where


def assert_same_game(found: Path, expected: Path) -> None:
    one, other = last(found), last(expected)
    assert len(one["state_dict"]) > 10
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "game"):
        assert_same(one[part], other[part], part)


@pytest.mark.parametrize("half", [4, 3], ids=["at the end of an epoch", "within an epoch"])
@pytest.mark.parametrize("game", GAMES)
def test_half_and_the_other_half_are_the_whole(game: str, half: int, tmp_path: Path):
    pieces, whole = tmp_path / "pieces", tmp_path / "whole"
    trained(pieces, *GAMES[game], f"max_iterations={half}")
    assert result(pieces)["iterations"] == half
    trained(pieces, *GAMES[game], f"max_iterations={2 * half}", f"ckpt_path={pieces}")
    trained(whole, *GAMES[game], f"max_iterations={2 * half}")
    assert_same_game(pieces, whole)
    if half == 4:  # an iteration at which nothing was due is on record when a run ends there
        assert rows(pieces) == rows(whole)
    assert result(pieces)["final"] == result(whole)["final"]


@pytest.mark.parametrize(("game", "turn"), [("gan", 3), ("wgan_gp", 6)])
def test_a_run_that_was_signalled_to_stop_resumes_by_itself(game: str, turn: int, tmp_path: Path):
    """With a schedule, and within an iteration; its rows are those of a run that was left alone."""
    pieces, whole = tmp_path / "pieces", tmp_path / "whole"
    settings = (*GAMES[game], "schedule=linear", "max_iterations=6", "resume=auto")
    with pytest.raises(Interrupted):
        trained(
            pieces,
            *settings,
            "+callbacks.signalled._target_=helpers.tiny_gan.Signalled",
            f"+callbacks.signalled.step={turn}",
        )
    assert result(pieces)["status"] == "interrupted"
    (pieces / "metrics.csv").write_text((pieces / "metrics.csv").read_text() + "99,1.0\n")  # a row of a later iteration
    trained(pieces, *settings)
    trained(whole, *settings)
    assert_same_game(pieces, whole)
    assert rows(pieces) == rows(whole)
    assert result(pieces)["best"] == result(whole)["best"]


def test_a_run_that_is_over_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    first = trained(tmp_path, "max_iterations=2", "resume=auto")
    before = (tmp_path / "result.json").read_bytes()
    with caplog.at_level("INFO"):
        assert trained(tmp_path, "max_iterations=2", "resume=auto")["best"] == first["best"]
    assert "has made its 2 iterations: nothing to do" in caplog.text
    assert (tmp_path / "result.json").read_bytes() == before
    expected = result(tmp_path)
    (tmp_path / "result.json").unlink()  # as if it had been killed just before the end
    assert trained(tmp_path, "max_iterations=2", "resume=auto")["best"] == first["best"]
    for key in ("status", "iterations", "images", "monitor", "best"):
        assert result(tmp_path)[key] == expected[key]
    assert result(tmp_path)["final"] == pytest.approx(expected["final"])


def files(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ((), "holds a run already, which would be overwritten"),
        (("ckpt_path={run}",), "has made 2 iterations: choose a larger max_iterations"),
        (("ckpt_path={run}", "max_iterations=4", "seed=1"), "seed was 0 and is now 1"),
        (("ckpt_path={run}", "max_iterations=4", "trainer.accelerator=cuda"), "finds no GPU here"),
        (("ckpt_path={run}", "max_iterations=4", "trainer.precision=bf16-mixed"), "was trained with .*=32-true"),
        (("resume=auto", "max_iterations=4", "optimizer.lr=0.5"), "optimizer.lr was 0.001 and is now 0.5"),
    ],
)
def test_a_mistake_leaves_a_run_as_it_was(
    overrides: Sequence[str], words: str, tmp_path_factory: pytest.TempPathFactory, finished: Path
):
    if "cuda" in " ".join(overrides) and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    before = files(finished)
    with pytest.raises(UserError, match=words):
        trained(finished, "max_iterations=2", *(override.format(run=finished) for override in overrides))
    assert files(finished) == before


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two iterations."""
    directory = tmp_path_factory.mktemp("finished")
    trained(directory, "max_iterations=2")
    return directory


def test_a_damaged_checkpoint_is_one_sentence(finished: Path, tmp_path: Path):
    (tmp_path / "checkpoints").mkdir()
    whole = (finished / "checkpoints" / "last.ckpt").read_bytes()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"last\.ckpt is not a checkpoint"):
        trained(tmp_path, "max_iterations=4", "resume=auto")


def test_a_branch_takes_its_best_along(finished: Path, tmp_path: Path):
    last_checkpoint = finished / "checkpoints" / "last.ckpt"
    before = files(finished)
    trained(tmp_path / "branch", "max_iterations=3", f"ckpt_path={last_checkpoint}", "evaluate_every=9")
    assert files(finished) == before
    assert last(tmp_path / "branch")["game"]["iterations"] == 3
    assert (tmp_path / "branch" / "checkpoints" / "best.ckpt").is_file()
    assert [row["iteration"] for row in rows(tmp_path / "branch")] == ["3"]


def test_a_last_state_that_cannot_be_saved_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(content: object, file: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.save", full)
    with pytest.raises(WorkError, match="could not be saved .No space left on device.") as failed:
        trained(tmp_path, "max_iterations=1")
    assert failed.value.exit_code == 1
    assert result(tmp_path)["status"] == "failed"


# Whole processes

LONG = (*TINY, "max_iterations=2000", "checkpoint_every=400", "evaluate_every=400", "log_every=10", "logger=csv")


def after_iterations(process: subprocess.Popen[str], run: Path, count: int) -> None:
    """Wait until `run` has logged `count` iterations."""
    deadline = time.monotonic() + 120
    while not (run / "metrics.csv").is_file() or not rows(run) or int(rows(run)[-1]["iteration"]) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def stopped(folder: Path, number: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Start a run in `folder`/run and signal all of its processes in the midst of it."""
    process = start_script(folder, "train.py", *arguments, "hydra.run.dir=run")
    try:
        after_iterations(process, folder / "run", 50)
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # no process is left
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_sigterm_saves_and_ends_with_75(tmp_path: Path):
    done = stopped(tmp_path, signal.SIGTERM, *LONG, "callbacks.density=null")
    assert done.returncode == 75, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "SIGTERM" in line]
    assert "to resume: ckpt_path=run" in line
    assert "Traceback" not in done.stderr
    ended = result(tmp_path / "run")
    assert ended["status"] == "interrupted"
    assert 50 <= ended["iterations"] == last(tmp_path / "run")["game"]["iterations"] < 2000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "devices"), [(signal.SIGINT, 130, 1), (signal.SIGUSR1, 75, 2), (signal.SIGINT, 130, 2)]
)
def test_a_stopped_run_resumes_to_the_same_end(number: int, code: int, devices: int, command: Command, tmp_path: Path):
    settings = (*LONG, "max_iterations=400", "callbacks.density=null", f"trainer.devices={devices}", "schedule=linear")
    done = stopped(tmp_path, number, *settings, "resume=auto")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    done = command("train.py", *settings, "resume=auto", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert command("train.py", *settings, "hydra.run.dir=whole").returncode == 0
    assert_same_game(tmp_path / "run", tmp_path / "whole")
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")


@pytest.mark.slow
def test_two_ranks_resume_as_one_would(command: Command, tmp_path: Path):
    settings = (*TINY, "logger=csv", "trainer.devices=2", "callbacks.density=null")
    assert command("train.py", *settings, "max_iterations=4", "hydra.run.dir=pieces").returncode == 0
    done = command("train.py", "ckpt_path=pieces", "max_iterations=8")
    assert done.returncode == 0, done.stderr
    assert command("train.py", *settings, "max_iterations=8", "hydra.run.dir=whole").returncode == 0
    assert_same_game(tmp_path / "pieces", tmp_path / "whole")


@pytest.mark.slow
def test_a_sweep_that_was_stopped_resumes(tmp_path: Path, command: Command):
    sweep = ("-m", "seed=0,1", *TINY, "logger=csv", "callbacks.density=null", "hydra.sweep.dir=sweep", "resume=auto")
    stop = ("+callbacks.signalled._target_=helpers.tiny_gan.Signalled", "+callbacks.signalled.step=4")
    path = {"PYTHONPATH": str(Path(__file__).parents[1])}
    assert command("train.py", *sweep, *stop, **path).returncode == 75
    assert result(tmp_path / "sweep/seed=0")["status"] == "interrupted"
    for said in (False, True):
        done = command("train.py", *sweep)
        assert done.returncode == 0, done.stderr
        assert ("2 jobs in sweep, of which 2 have finished" in done.stderr) == said
    assert [result(tmp_path / f"sweep/{job}")["status"] for job in ("seed=0", "seed=1")] == ["finished"] * 2


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_the_same():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kills", "--kills", "3", "--seed", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills on the way to iteration 100" in done.stdout
    assert "equal in every tensor" in done.stdout
