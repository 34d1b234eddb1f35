from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.run_script import environment_in

import gan_lightning as gl
from gan_lightning.cli import runs
from gan_lightning.runs.lock import NAME, host
from gan_lightning.sweeps.listing import age, listing

NOW = 1_000_000.0


def run(folder: Path, *overrides: str, result: object = None, started_s_ago: float = 60) -> Path:
    """Write a run's files; a result that is a string is written as it is."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 0\n")
    (folder / "overrides.yaml").write_text(json.dumps(list(overrides)))
    os.utime(folder / "overrides.yaml", (NOW - started_s_ago,) * 2)
    if result is not None:
        (folder / "result.json").write_text(result if isinstance(result, str) else json.dumps(result))
    return folder


FINISHED = {"status": "finished", "iterations": 60, "monitor": "val/jsd", "best": {"val/jsd": 0.25, "iteration": 30}}
RUNNING = {"status": "running", "iterations": 0, "monitor": "val/jsd", "best": {}}


def lines(folder: Path) -> list[list[str]]:
    return [line.split() for line in listing([folder], NOW).splitlines()]


def test_runs_are_listed_newest_first_with_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    run(tmp_path / "old", "experiment=ring", "loss=gan", "logger=csv", result=FINISHED, started_s_ago=7200)
    run(tmp_path / "new", "experiment=ring", "loss=lsgan", "seed=1", result={**FINISHED, "status": "interrupted"})
    assert lines(tmp_path)[1:] == [
        ["stopped", "60", "val/jsd", "0.25", "1", "min", "new", "loss=lsgan,seed=1"],
        ["finished", "60", "val/jsd", "0.25", "2", "h", "old", "loss=gan"],
    ]


def test_the_files_of_wandb_are_no_runs(tmp_path: Path):
    run(tmp_path / "sweep" / "seed=0", result=FINISHED)
    run(tmp_path / "sweep" / "wandb" / "run-1" / "files")
    assert len(lines(tmp_path)) == 2


def test_a_debug_run_is_marked(tmp_path: Path):
    run(tmp_path / "tried", "debug=fast", result=FINISHED)
    assert lines(tmp_path)[1][:2] == ["finished,", "debug"]


def test_a_running_run_is_told_from_a_dead_one_by_its_lock(tmp_path: Path):
    for name, process in (("alive", os.getpid()), ("killed", 2**22 + 1), ("unlocked", None), ("stale", os.getpid())):
        folder = run(tmp_path / name, result=RUNNING)
        (folder / "metrics.csv").write_text("iteration,val/jsd,val/jsd_best\n10,0.5,0.5\n20,,\n30,0.7,0.5\n40,0.")
        if process is not None:
            (folder / NAME).write_text(json.dumps({"host": host(), "process": process}))
    os.utime(tmp_path / "stale" / NAME, (time.time() - 3600,) * 2)
    found = {row[-1].split("/")[-1]: row[:4] for row in lines(tmp_path)[1:]}
    assert found == {
        "alive": ["running", "40", "val/jsd", "0.5"],
        **{name: ["dead", "40", "val/jsd", "0.5"] for name in ("killed", "unlocked", "stale")},
    }
    assert gl.Run(tmp_path / "alive").status == "running"


@pytest.mark.parametrize(("age_s", "status"), [(300, "running"), (3600, "dead")])
def test_a_run_of_another_machine_lives_as_long_as_its_heartbeat(age_s: float, status: str, tmp_path: Path):
    folder = run(tmp_path / "run", result=RUNNING)
    (folder / NAME).write_text(json.dumps({"host": "node7 another-start", "process": 12}))
    os.utime(folder / NAME, (time.time() - age_s,) * 2)
    assert gl.Run(folder).status == status


def test_a_sweep_is_a_line_with_its_jobs_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for loss, status in (("gan", "finished"), ("lsgan", "failed"), ("wgan", "finished")):
        run(tmp_path / "sweep" / f"loss={loss},seed=0", f"loss={loss}", result={**FINISHED, "status": status})
    (tmp_path / "sweep" / "multirun.yaml").touch()
    found = lines(tmp_path)
    assert found[1] == ["sweep", "1", "min", "sweep", "2", "finished,", "1", "failed"]
    assert [row[-1] for row in found[2:]] == [f"sweep/loss={loss},seed=0" for loss in ("gan", "lsgan", "wgan")]


@pytest.mark.parametrize(
    "garbage",
    ["", "{", "[]", "null", '{"status": 3, "best": [1], "iterations": "x", "monitor": {}}', "\x00", "[" * 9999],
)
def test_files_that_hold_something_else_say_nothing(garbage: str, tmp_path: Path):
    folder = run(tmp_path / "strange\x1b[2J\nname", result=garbage)
    for name in ("overrides.yaml", "metrics.csv", NAME):
        (folder / name).write_text(garbage)
    (folder / "config.yaml").write_bytes(b"\xff\xfe")
    run(tmp_path / "good", result=FINISHED)
    text = listing([tmp_path], NOW)
    assert len(text.splitlines()) == 3 and text.replace("\n", "").isprintable()
    assert "finished" in text


def test_from_python_the_newest_run_comes_first(tmp_path: Path):
    run(tmp_path / "a", started_s_ago=100)
    run(tmp_path / "b" / "c", started_s_ago=10)
    (tmp_path / "no_run").mkdir()
    assert [found.directory.name for found in gl.list_runs(tmp_path)] == ["c", "a"]


def test_the_command_lists_and_names_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run(tmp_path / "run", result=FINISHED)
    runs.main([str(tmp_path)])
    assert "finished" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        runs.main([str(tmp_path / "nowhere")])
    assert ended.value.code == 2 and "no such folder" in capsys.readouterr().err


def test_the_command_needs_no_torch(tmp_path: Path):
    (tmp_path / "torch.py").write_text("raise RuntimeError('torch was imported')\n")
    root = str(Path(__file__).parents[2])
    environment = {**environment_in(tmp_path), "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}
    command = [sys.executable, "-m", "gan_lightning.cli.runs", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "There are no runs in" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("seconds", "words"), [(-5, "0 s"), (59, "59 s"), (3599, "59 min"), (7200, "2 h"), (2e5, "2 d")]
)
def test_ages_are_in_their_largest_unit(seconds: float, words: str):
    assert age(seconds) == words
