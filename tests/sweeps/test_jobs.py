from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from gan_lightning.sweeps.jobs import Job, expand
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.job_names import LONGEST_NAME, job_name


def jobs(*overrides: str) -> list[Job]:
    return expand(OverridesParser.create().parse_overrides(list(overrides)), seed=0)


def test_there_is_a_job_for_each_combination_named_by_what_differs():
    found = jobs("experiment=ring", "loss=gan,lsgan", "seed=range(2)")
    assert [job.name for job in found] == [
        "loss=gan,seed=0",
        "loss=gan,seed=1",
        "loss=lsgan,seed=0",
        "loss=lsgan,seed=1",
    ]
    assert found[2].overrides == ("experiment=ring", "loss=lsgan", "seed=0")
    assert found[2].settings == {"loss": "lsgan", "seed": "0"}


def test_names_stay_when_values_are_added():
    before = {job.name: job.overrides for job in jobs("optimizer.lr=1e-4,2e-4", "seed=0,1")}
    after = {job.name: job.overrides for job in jobs("optimizer.lr=5e-5,1e-4,2e-4", "seed=range(3)")}
    assert before.items() <= after.items()


def test_no_job_is_run_twice():
    assert [job.name for job in jobs("seed=0,1,0")] == ["seed=0", "seed=1"]


def test_the_last_override_of_a_key_holds():
    assert [job.overrides for job in jobs("seed=0,1", "loss=gan", "seed=3")] == [("loss=gan", "seed=3")]


def test_the_seed_is_in_every_name_so_that_seeds_can_be_added():
    (first, _), (same, *_) = jobs("loss=gan,lsgan"), jobs("loss=gan,lsgan", "seed=0,1")
    assert first.name == same.name == "loss=gan,seed=0"
    assert first.settings == {"loss": "gan"}


def test_added_and_deleted_keys_keep_their_signs():
    [first, _] = jobs("+model.depth=1,2", "~callbacks.health")
    assert first.overrides == ("+model.depth=1", "~callbacks.health")
    assert first.name == "model.depth=1,seed=0"


@pytest.mark.parametrize(
    ("first", "second"),
    [("/data/a b", "/data/a_b"), ("x" * 300 + "1", "x" * 300 + "2"), ("'a'", "a")],
)
def test_names_are_names_of_directories_and_differ(first: str, second: str):
    names = [job_name({"data.root": value}) for value in (first, second)]
    assert names[0] != names[1]
    assert all("/" not in name and len(name) <= LONGEST_NAME + 7 for name in names)


def test_a_list_is_named_as_typed():
    assert [job.name for job in jobs("regularizer=[r1],[r1,r2]")] == [
        "regularizer=[r1],seed=0",
        "regularizer=[r1,r2],seed=0",
    ]


def test_a_range_to_search_is_refused_without_a_search():
    with pytest.raises(UserError, match="hparams_search=optuna"):
        jobs("optimizer.lr=interval(0,1)")
