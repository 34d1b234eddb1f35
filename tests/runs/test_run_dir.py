from __future__ import annotations

import json
from pathlib import Path

from gan_lightning.runs.run_dir import environment, write_start
from gan_lightning.utils.files import write_json


def test_json_has_no_numbers_that_json_does_not_know(tmp_path: Path):
    write_json(tmp_path / "result.json", {"fid": float("nan"), "best": [1.5, float("inf")], "status": "finished"})
    assert json.loads((tmp_path / "result.json").read_text()) == {
        "fid": None,
        "best": [1.5, None],
        "status": "finished",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_the_start_of_a_run_is_on_record(tmp_path: Path):
    write_start(tmp_path / "run", {"seed": 3, "data": {"shape": [1, 28, 28]}}, ["seed=3"])
    assert (tmp_path / "run" / "config.yaml").read_text() == "seed: 3\ndata:\n  shape:\n  - 1\n  - 28\n  - 28\n"
    assert (tmp_path / "run" / "overrides.yaml").read_text() == "- seed=3\n"
    recorded = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert recorded["python"] == environment()["python"]
    assert recorded["packages"]["lightning"]
