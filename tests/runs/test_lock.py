"""One writer a run: the attacks of a second one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers.compose import composed, job_part
from helpers.jobs import train
from helpers.run_script import ROOT, TINY

from gan_lightning.runs import lock
from gan_lightning.runs.lock import NAME, one_writer
from gan_lightning.utils.errors import UserError

HOLD = """
import sys, time
from pathlib import Path
from gan_lightning.runs.lock import one_writer
with one_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def held(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLD, str(directory)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_second_writer_is_refused_and_a_killed_one_is_succeeded(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with held(tmp_path) as process:
        words = rf"is being trained by process {process.pid} on \w"
        with pytest.raises(UserError, match=words) as error, one_writer(tmp_path):
            pass
        assert "\n" not in str(error.value)
        process.kill()
        process.wait()
        with one_writer(tmp_path):
            assert json.loads((tmp_path / NAME).read_text())["process"] == os.getpid()
        assert f"was left behind by process {process.pid}" in caplog.text
    assert not (tmp_path / NAME).exists()


def left_by(directory: Path, owner: Any, age_s: float) -> Path:
    """Write a lock as another machine would have left it."""
    path = directory / NAME
    path.write_text(owner if isinstance(owner, str) else json.dumps(owner))
    os.utime(path, (time.time() - age_s,) * 2)
    return path


OTHER = {"host": "node7 another-start", "process": 12}


def test_another_machine_is_watched_for_its_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(lock, "STALE_S", 0.5)
    path = left_by(tmp_path, OTHER, age_s=30)
    beats = iter([False, True])

    def sleep(seconds: float) -> None:
        if next(beats, False):
            os.utime(path)

    monkeypatch.setattr(lock.time, "sleep", sleep)
    with pytest.raises(UserError, match="is being trained by process 12 on node7"), one_writer(tmp_path):
        pass
    assert json.loads(path.read_text()) == OTHER
    with one_writer(tmp_path):
        assert json.loads(path.read_text())["process"] == os.getpid()
    assert "was left behind by process 12 on node7, which has ended: taken over" in caplog.text


@pytest.mark.parametrize("owner", [OTHER, "", "no json", "[1]", '{"host": "\\u001b[31mred", "process": "\\u0007"}'])
def test_an_old_lock_is_taken_over_at_once(owner: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    left_by(tmp_path, owner, age_s=3600)
    started = time.monotonic()
    with one_writer(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["process"] == os.getpid()
    assert time.monotonic() - started < 5
    assert ("taken over" in caplog.text) == (owner != "")
    assert caplog.text.replace("\n", "").isprintable()


def test_the_heartbeat_renews_the_time_and_notices_a_takeover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lock, "BEAT_S", 0.01)
    ended: list[int] = []
    monkeypatch.setattr(lock.os, "_exit", lambda code: ended.append(code))
    with one_writer(tmp_path):
        path = tmp_path / NAME
        os.utime(path, (0, 0))
        wait_until(lambda: path.stat().st_mtime > 0)
        path.rename(tmp_path / "away")  # removed by hand: no other process has it
        time.sleep(0.05)
        assert not ended
        path.write_text(json.dumps(OTHER))
        wait_until(lambda: bool(ended))
    assert path.exists()  # it is the other's
    assert set(ended) == {1}


def wait_until(happened: Any) -> None:
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_what_is_no_file_is_no_lock(kind: str, tmp_path: Path):
    path = tmp_path / NAME
    {"pipe": os.mkfifo, "folder": os.mkdir, "link": lambda path: path.symlink_to(tmp_path / "target")}[kind](path)
    with pytest.raises(UserError, match=r"run\.lock is no file|cannot be written"), one_writer(tmp_path):
        pass
    assert not (tmp_path / "target").exists()


def trained(directory: Path, *overrides: str) -> dict[str, Any]:
    settings = (*TINY, "logger=csv", "callbacks.density=null", "callbacks.progress=null", *overrides)
    with composed(*settings, directory=directory) as config:
        return train(job_part(config))


def test_training_holds_the_lock_and_gives_it_back(tmp_path: Path):
    with held(tmp_path), pytest.raises(UserError, match="is being trained by process"):
        trained(tmp_path, "resume=auto")
    assert trained(tmp_path, "resume=auto")["iterations"] == 6
    assert not (tmp_path / NAME).exists()


def test_a_directory_that_holds_another_run_is_refused(tmp_path: Path):
    trained(tmp_path, "seed=0", "callbacks.checkpoint=null")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    for overrides, words in [
        (("seed=1",), r"holds a run that saved no checkpoint.*choose another directory with hydra.run.dir="),
        (("seed=0",), "begin that run again with resume=auto"),
        (("seed=1", "resume=auto"), "seed was 0 and is now 1"),
    ]:
        with pytest.raises(UserError, match=words):
            trained(tmp_path, "callbacks.checkpoint=null", *overrides)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    trained(tmp_path, "seed=0", "resume=auto")  # as after a kill before the first save: it begins again
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3", "4", "5", "6"]


LONG = (*TINY, "max_iterations=100000", "checkpoint_every=100000", "callbacks.density=null", "evaluate_every=100000")


@pytest.mark.slow
@pytest.mark.parametrize("settings", [("resume=auto",), ("seed=1",)], ids=["the same run", "another seed"])
def test_two_commands_on_one_directory(settings: tuple[str, ...], tmp_path: Path):
    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(ROOT / "train.py"), *LONG, "logger=csv", "hydra.run.dir=run", *arguments]
        return subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

    first = start("resume=auto")
    try:
        wait_for_start(tmp_path / "run" / "metrics.csv")
        second = start(*settings)
        _, said = second.communicate(timeout=120)
        assert second.returncode == 2
        assert f"run is being trained by process {first.pid} on " in said
        assert "Traceback" not in said
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[1:-1]
    iterations = [int(row.split(",")[0]) for row in rows]
    assert iterations == sorted(set(iterations))


def wait_for_start(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() or path.read_text().count("\n") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)
