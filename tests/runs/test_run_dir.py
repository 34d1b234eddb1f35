from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from gan_lightning.runs import run_dir
from gan_lightning.runs.run_dir import checkpoint_of, environment, write_start
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.files import write_json


def test_json_has_no_numbers_that_json_does_not_know(tmp_path: Path):
    write_json(tmp_path / "result.json", {"fid": float("nan"), "best": [1.5, float("inf")], "status": "finished"})
    assert json.loads((tmp_path / "result.json").read_text()) == {
        "fid": None,
        "best": [1.5, None],
        "status": "finished",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_the_last_run_and_the_folder_of_checkpoints_name_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="ckpt_path=last finds no run with a checkpoint in outputs/runs"):
        checkpoint_of("last")
    for name, when in (("a", 3), ("b", 5), ("c", 4)):
        file = Path(f"outputs/runs/{name}/checkpoints/last.ckpt")
        file.parent.mkdir(parents=True)
        file.touch()
        os.utime(file, (when, when))
    assert checkpoint_of("last") == Path("outputs/runs/b/checkpoints/last.ckpt")
    assert checkpoint_of("outputs/runs/a/checkpoints") == Path("outputs/runs/a/checkpoints/last.ckpt")


def test_the_start_of_a_run_is_on_record(tmp_path: Path):
    write_start(tmp_path / "run", {"seed": 3, "data": {"shape": [1, 28, 28]}}, ["seed=3"])
    assert (tmp_path / "run" / "config.yaml").read_text() == "seed: 3\ndata:\n  shape:\n  - 1\n  - 28\n  - 28\n"
    assert (tmp_path / "run" / "overrides.yaml").read_text() == "- seed=3\n"
    recorded = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert recorded["python"] == environment()["python"]
    assert recorded["packages"]["lightning"]


def test_a_result_that_cannot_be_written_is_one_line_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def full(path: Path, content: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_dir, "write_json", full)
    run_dir.write_result(Path("run"), {"status": "finished"})
    message = "run/result.json cannot be written (No space left on device): the run ended as finished"
    assert [record.getMessage() for record in caplog.records] == [message]
