"""Runs that end before their budget: `stop.patience`, `stop.max_hours`, and callbacks of Lightning's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.compose import composed, job_part
from helpers.jobs import train
from helpers.run_script import TINY, Command

from gan_lightning.callbacks.stop import stop_reason
from gan_lightning.utils.errors import UserError

STILL = (
    *TINY,
    "optimizer.generator.lr=1e-30",
    "optimizer.discriminator.lr=1e-30",
    "evaluate_every=1",
    "metrics.num_fakes=9",
    "callbacks.density=null",
    "logger=csv",
)
"""A game whose weights do not move, so that no evaluation is better than the first."""


def run(folder: Path, *overrides: str) -> dict:
    with composed(*STILL, *overrides, directory=folder) as config:
        return train(job_part(config))


@pytest.mark.parametrize(
    ("patience", "max_hours", "evaluations", "seconds", "reason"),
    [
        (None, None, 99, 1e9, None),
        (3, None, 2, 1e9, None),
        (3, None, 3, 0.0, "no better metric in 3 evaluations (stop.patience=3)"),
        (None, 0.5, 99, 1799.0, None),
        (None, 0.5, 0, 1800.0, "0.5 hours of training (stop.max_hours=0.5)"),
    ],
)
def test_the_counts_decide(patience, max_hours, evaluations, seconds, reason):
    assert stop_reason(patience, max_hours, evaluations, seconds) == reason


def test_patience_ends_a_run_as_finished_and_a_larger_one_resumes_it(tmp_path: Path):
    result = run(tmp_path, "stop.patience=2")
    assert (result["status"], result["iterations"], result["best"]["iteration"]) == ("finished", 3, 1)
    assert result["stopped"] == "no better metric in 2 evaluations (stop.patience=2)"
    with pytest.raises(UserError, match=r"has stopped: no better metric in 2 .* choose a larger value of that key"):
        run(tmp_path, "stop.patience=2", f"ckpt_path={tmp_path}")
    with pytest.raises(UserError, match=r"has stopped: .* hours of training"):
        run(tmp_path, "stop.max_hours=1e-9", f"ckpt_path={tmp_path}")
    assert run(tmp_path, "stop.patience=2", "resume=auto") == json.loads((tmp_path / "result.json").read_text())
    result = run(tmp_path, "stop.patience=4", f"ckpt_path={tmp_path}")
    assert (result["iterations"], result["stopped"][:34]) == (5, "no better metric in 4 evaluations ")
    result = run(tmp_path, f"ckpt_path={tmp_path}")
    assert (result["iterations"], result["stopped"]) == (6, None)


def test_a_run_that_early_stopping_has_ended_is_over_until_it_is_left_out(tmp_path: Path):
    early = (
        "+callbacks.early={_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val/wasserstein1, patience: 1}"
    )
    result = run(tmp_path, early)
    assert (result["status"], result["iterations"]) == ("finished", 2)
    assert run(tmp_path, early, "resume=auto") == json.loads((tmp_path / "result.json").read_text()) == result
    with pytest.raises(UserError, match=r"has stopped: Monitored metric .*: leave out .* \+callbacks\.early=null"):
        run(tmp_path, early, f"ckpt_path={tmp_path}")
    assert run(tmp_path, "+callbacks.early=null", f"ckpt_path={tmp_path}")["iterations"] == 6


def test_hours_count_before_a_resume_too(tmp_path: Path):
    result = run(tmp_path, "stop.max_hours=1e-9")
    assert (result["status"], result["iterations"]) == ("finished", 1)
    assert result["stopped"].endswith("hours of training (stop.max_hours=1e-09)")
    with pytest.raises(UserError, match="has stopped: "):
        run(tmp_path, "stop.max_hours=2e-9", f"ckpt_path={tmp_path}")
    assert run(tmp_path, "stop.max_hours=1", f"ckpt_path={tmp_path}")["stopped"] is None


def test_a_run_that_was_killed_after_it_stopped_has_its_result_again(tmp_path: Path):
    before = run(tmp_path, "stop.patience=2")
    (tmp_path / "result.json").write_text('{"status": "running"}')
    after = run(tmp_path, "stop.patience=2", "resume=auto")
    assert {key: after[key] for key in ("status", "stopped", "best")} == {
        key: before[key] for key in ("status", "stopped", "best")
    }


def test_a_sweep_does_not_train_runs_that_stopped_again_unless_they_may_take_longer(tmp_path: Path, command: Command):
    early = "{_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val/wasserstein1, patience: 1}"
    sweep = ("-m", "seed=0", *STILL, "hydra.sweep.dir=sweep", "resume=auto")
    assert command("train.py", *sweep, f"+callbacks.early={early}").returncode == 0
    result = json.loads((tmp_path / "sweep/seed=0/result.json").read_text())
    assert result["stopped"].startswith("Monitored metric val/wasserstein1 did not improve in the last 1 records")
    assert "of which 1 have finished" in command("train.py", *sweep, f"+callbacks.early={early}").stderr
    done = command("train.py", *sweep, "stop.patience=9")
    assert "have finished" not in done.stderr
    assert json.loads((tmp_path / "sweep/seed=0/result.json").read_text())["iterations"] == 6
