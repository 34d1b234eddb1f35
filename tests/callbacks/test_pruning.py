from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
from helpers.compose import composed, job_part
from helpers.jobs import train
from helpers.run_script import TINY
from optuna.trial import TrialState

from gan_lightning.callbacks import pruning
from gan_lightning.callbacks.pruning import TRIAL_FILE, Pruning, study_storage


def study_of(folder: Path) -> optuna.Study:
    return optuna.create_study(
        study_name="search", storage=study_storage(folder / "study.journal"), load_if_exists=True
    )


def trial_file(folder: Path, trial: optuna.Trial) -> dict:
    return {"journal": str(folder / "study.journal"), "trial_id": trial._trial_id, "first_step": 0}


def test_a_trial_is_hopeless_where_it_is_worse_than_the_median(tmp_path: Path):
    study = study_of(tmp_path)
    for value in (1.0, 2.0, 3.0):
        other = study.ask()
        other.report(value, 10)
        study.tell(other, value)
    callback = Pruning(every=10, pruner=optuna.pruners.MedianPruner(n_startup_trials=3))
    assert not callback.is_hopeless(trial_file(tmp_path, study.ask()), 10, 1.9)
    assert callback.is_hopeless(trial_file(tmp_path, study.ask()), 10, 2.1)


def test_the_lock_of_a_process_that_was_killed_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pruning, "LOCK_SECONDS", 3)
    Path("study.journal.lock").touch()
    study = optuna.create_study(storage=study_storage(Path("study.journal")))
    assert study.ask().number == 0


def test_a_pruned_run_ends_at_its_evaluation_with_the_reason_in_its_result(tmp_path: Path):
    trial = study_of(tmp_path).ask()
    (tmp_path / TRIAL_FILE).write_text(json.dumps(trial_file(tmp_path, trial)))
    pruner = "callbacks.pruning.pruner"
    always = (
        f"{pruner}._target_=optuna.pruners.ThresholdPruner",
        f"~{pruner}.n_startup_trials",
        f"+{pruner}.upper=0.0",
    )
    overrides = ("hparams_search=optuna", *TINY, *always, "logger=csv", "callbacks.density=null")
    with composed(*overrides, directory=tmp_path) as config:
        result = train(job_part(config))
    assert (result["status"], result["iterations"]) == ("finished", 3)
    assert result["stopped"].startswith("pruned at iteration 3: val/wasserstein1")
    [kept] = study_of(tmp_path).trials
    assert kept.state == TrialState.RUNNING and kept.intermediate_values.keys() == {3}
