from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from gan_lightning.sweeps.jobs import Job
from gan_lightning.sweeps.launch import Outcome, Progress, duration, run_jobs
from gan_lightning.sweeps.sweeper import Grid
from gan_lightning.utils.errors import ReportedError

JOBS = [Job((f"seed={seed}",), {"seed": str(seed)}, f"seed={seed}") for seed in range(3)]


class Written(Launcher):
    """Writes results where jobs were to run; job 1 fails, and the launcher itself does after `dies_after` jobs."""

    def __init__(self, directory: Path, dies_after: int = 9) -> None:
        self.directory, self.dies_after = directory, dies_after
        self.launched: list[Sequence[str]] = []

    def setup(self, **kwargs: Any) -> None:
        """Nothing to set up."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        returns = []
        for number, overrides in enumerate(job_overrides):
            if number == self.dies_after:
                raise RuntimeError("a worker was killed")
            self.launched.append(overrides)
            folder = self.directory / f"seed={number}"
            folder.mkdir(parents=True)
            ended = JobReturn(status=JobStatus.FAILED if number == 1 else JobStatus.COMPLETED)
            ended.return_value = ReportedError("no images") if number == 1 else 0.5
            content: dict[str, Any] = {"status": "finished", "monitor": "val/fid", "best": {"val/fid": 0.5}}
            content = {"status": "failed", "error": "no images"} if number == 1 else content
            (folder / "result.json").write_text(json.dumps(content))
            returns.append(ended)
        return returns


def test_each_job_has_its_directory_in_that_of_the_sweep(tmp_path: Path):
    launcher = Written(tmp_path)
    run_jobs(launcher, JOBS, tmp_path, Progress(3))
    assert launcher.launched[2] == ["seed=2", f"hydra.sweep.dir='{tmp_path}'", "hydra.sweep.subdir='seed=2'"]


def test_jobs_that_end_are_reported_once_with_the_time_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    outcomes = run_jobs(Written(tmp_path), JOBS, tmp_path, Progress(4, done=1))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0] for line in lines] == [
        "[2/4] seed=0 finished, best val/fid 0.5",
        "[3/4] seed=1 failed: no images",
        "[4/4] seed=2 finished, best val/fid 0.5",
    ]
    assert lines[0].endswith(" left") and not lines[2].endswith(" left")
    assert [outcome.error for outcome in outcomes] == [None, "no images", None]


def test_a_launcher_that_dies_has_failed_in_the_jobs_without_a_result(tmp_path: Path):
    outcomes = run_jobs(Written(tmp_path, dies_after=1), JOBS, tmp_path, Progress(3))
    assert [outcome.error for outcome in outcomes] == [None, *["RuntimeError: a worker was killed"] * 2]


def test_failed_jobs_are_named_with_the_command_that_runs_them_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.argv", ["/bin/gan-train", "-m", "seed=0,1,2"])
    sweep = Grid()
    sweep.directory = tmp_path / "a b"
    with pytest.raises(ReportedError) as raised:
        sweep.finish(run_jobs(Written(tmp_path), JOBS, tmp_path, Progress(3)))
    assert raised.value.exit_code == 1
    told = capsys.readouterr().err
    assert "1 job of 3 failed:\n  seed=1: no images\n" in told
    assert "gan-train -m seed=0,1,2 resume=auto 'hydra.sweep.dir=" in told


def test_a_pruned_job_is_told_from_one_that_made_all_its_iterations():
    result = {"status": "finished", "monitor": "val/fid", "best": {"val/fid": 0.5}}
    assert Outcome(JOBS[0], result).sentence() == "finished, best val/fid 0.5"
    stopped = {**result, "stopped": "pruned at iteration 3"}
    assert Outcome(JOBS[0], stopped).sentence() == "pruned at iteration 3, best val/fid 0.5"


@pytest.mark.parametrize(("seconds", "words"), [(41.4, "41 s"), (600, "10 min"), (9000, "2.5 h")])
def test_durations_have_about_two_digits(seconds: float, words: str):
    assert duration(seconds) == words
