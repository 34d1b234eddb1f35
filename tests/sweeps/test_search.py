"""A search from the command line: trials that fail count, and the study is resumed and extended."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
import yaml
from helpers.run_script import TINY, Command
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.types import HydraContext, RunMode
from optuna.trial import TrialState

from gan_lightning.callbacks.pruning import study_storage
from gan_lightning.sweeps.search import Search
from gan_lightning.utils.conf import hydra_at_conf

SEARCH = (
    "hparams_search=optuna",
    *TINY,
    "logger=csv",
    "callbacks.density=null",
    "max_iterations=3",
    "optimizer.betas=[0,0.9]",
)
"""The rate of the last is searched by default, and the betas are not, as they are typed."""


def trials(sweep: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="search", storage=study_storage(sweep / "study.journal")).trials


def test_a_search_counts_trials_that_fail_and_is_extended(tmp_path: Path, command: Command):
    """A negative budget cannot be trained: trials fail that draw it."""
    space = (
        "max_iterations=choice(-1,3)",
        "hydra.sweep.dir=sweep",
        "hydra.sweeper.sampler._target_=optuna.samplers.RandomSampler",
    )
    done = command("train.py", *SEARCH, *space, "hydra.sweeper.n_trials=4")
    assert done.returncode == 0, done.stderr
    first = trials(tmp_path / "sweep")
    assert {trial.state for trial in first} == {TrialState.COMPLETE, TrialState.FAIL}
    assert all((trial.state == TrialState.FAIL) == (trial.params["max_iterations"] == "-1") for trial in first)
    assert all(trial.params.keys() == {"optimizer.lr", "max_iterations"} for trial in first)

    refused = command("train.py", *SEARCH, *space, "hydra.sweeper.n_trials=5")
    assert refused.returncode == 2 and "add resume=auto" in refused.stderr
    done = command("train.py", *SEARCH, *space, "hydra.sweeper.n_trials=5", "resume=auto")
    assert done.returncode == 0, done.stderr
    after = trials(tmp_path / "sweep")
    assert [trial.params for trial in after[:4]] == [trial.params for trial in first] and len(after) == 5
    found = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text())
    values = {trial.number: trial.value for trial in after if trial.value is not None}
    assert found["best_value"] == min(values.values()) == values[found["best_trial"]]
    assert f"best trial {found['best_trial']}" in done.stderr
    assert found["command"] in done.stderr and "optimizer.lr=" in found["command"]


@pytest.mark.parametrize(
    ("typed", "searched"),
    [
        (["experiment=ring"], {"optimizer.lr", "optimizer.betas"}),
        (["experiment=ring", "optimizer=sgd"], {"optimizer.lr"}),  # the experiment sets Adam's betas all the same
        (["experiment=ring", "optimizer=adam,sgd"], {"optimizer", "optimizer.lr"}),
        (["loss=gan,lsgan", "optimizer.lr=1e-3"], {"loss", "optimizer.betas"}),
        (["prior.dim=choice(8,16)"], {"prior.dim", "optimizer.lr", "optimizer.betas"}),
    ],
)
def test_what_the_optimizer_reads_is_searched_by_default(typed: list[str], searched: set[str]):
    with hydra_at_conf():
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("train", ["hparams_search=optuna", *typed], RunMode.MULTIRUN)
        sweeper = config.hydra.sweeper
        search = Search(3, 1, 1, "minimize", sampler=optuna.samplers.RandomSampler, params=sweeper.params)
        search.config, search.hydra_context = config, HydraContext(config_loader=loader, callbacks=Callbacks())
        found = search.fitting(search.parsed(typed))
    assert {str(o.key_or_group) for o in found if o.is_sweep_override()} == searched
