"""What was typed becomes everything that a run is made of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from helpers.checkpoints import empty_checkpoint, save_changed
from helpers.compose import composed

from gan_lightning.runs.overrides import expand_resume_overrides
from gan_lightning.utils.errors import UserError


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def a_run(name: str = "outputs/runs/one", **choices: Any) -> str:
    """Make a run whose checkpoints say that it was composed of `choices`."""
    run = Path(name)
    (run / "checkpoints").mkdir(parents=True)
    for which in ("last", "best"):
        save_changed(empty_checkpoint({"choices": choices}), run / "checkpoints" / f"{which}.ckpt")
    return name


def rewritten(*typed: str) -> list[str]:
    """The whole command line; and what a further rank, started with it, makes of it is the same."""
    whole = expand_resume_overrides(typed)
    assert expand_resume_overrides(whole) == whole
    return whole


@pytest.mark.parametrize(
    "arguments", [[], ["loss=lsgan", "-m"], ["--help"], ["ckpt_path=null"], ["a=[", "ckpt_path=x"], ["resume=null"]]
)
def test_a_run_that_is_not_resumed_is_what_was_typed(arguments: list[str]):
    assert expand_resume_overrides(arguments) == arguments


@pytest.mark.parametrize(
    ("choices", "typed", "expected"),
    [
        ({"loss": "lsgan", "data": "ring"}, ["max_iterations=9"], ["loss=lsgan", "data=ring"]),
        ({"loss": "lsgan", "logger": "wandb"}, ["logger=csv"], ["loss=lsgan"]),
        ({"loss": "lsgan"}, ["loss=lsgan"], []),
        ({"regularizer": ["r1", "r2"]}, ["seed=3"], ["regularizer=[r1,r2]"]),
        ({"variant": None, "launcher": "joblib", "hparams_search": "optuna"}, [], []),
        ({"loss": "of_another_version", "model": "mlp"}, [], ["model=mlp"]),
    ],
)
def test_a_run_directory_is_resumed_in_place_with_the_answers_of_its_run(
    choices: dict[str, Any], typed: list[str], expected: list[str]
):
    run = a_run(**choices)
    assert rewritten(f"ckpt_path={run}", *typed) == [*expected, f"ckpt_path={run}", *typed, f"hydra.run.dir='{run}'"]


@pytest.mark.parametrize(
    "choices",
    [
        {"loss": "../../evil"},
        {"loss": "/evil"},
        {"loss": "[../evil]"},
        {"loss": "lsgan hydra.run.dir=/"},
        {"regularizer": ["r1", "../evil"]},
        {"loss": {"lsgan": "gan"}},
        {"hydra/launcher": "joblib"},
        {"hydra": "help"},
        {"loss@hydra.job": "gan"},
        {"../conf/loss": "gan"},
        {"loss": ["gan", 3]},
        {"loss": "${oc.env:HOME}"[2:]},
    ],
)
def test_answers_that_are_no_files_of_conf_are_left_out(choices: dict[str, Any]):
    run = a_run(**choices)
    Path("evil.yaml").write_text("a: 1")
    assert rewritten(f"ckpt_path={run}") == [f"ckpt_path={run}", f"hydra.run.dir='{run}'"]


def test_the_record_of_what_was_typed_is_not_read():
    run = a_run(loss="lsgan")
    Path(run, "overrides.yaml").write_text("- seed=3\n- [!!python/object/apply:os.mkdir [evil]\n")
    assert rewritten(f"ckpt_path={run}") == ["loss=lsgan", f"ckpt_path={run}", f"hydra.run.dir='{run}'"]


def test_a_checkpoint_file_starts_another_run(tmp_path: Path):
    run = a_run(loss="lsgan")
    file = f"ckpt_path={run}/checkpoints/best.ckpt"
    assert rewritten(file, "seed=2") == ["loss=lsgan", file, "seed=2"]


def test_options_of_hydra_stay():
    run = a_run(loss="lsgan")
    assert expand_resume_overrides(["--cfg", "job", f"ckpt_path={run}"])[:3] == ["--cfg", "job", "loss=lsgan"]


def test_the_last_run_is_the_one_that_saved_last():
    for name, when in (("a", 3), ("b", 5), ("c", 4)):
        file = Path(a_run(f"outputs/runs/{name}")) / "checkpoints" / "last.ckpt"
        os.utime(file, (when, when))
    Path("outputs/runs/d").mkdir()
    assert rewritten("ckpt_path=last") == ["ckpt_path='outputs/runs/b'", "hydra.run.dir='outputs/runs/b'"]


def test_the_last_run_is_the_given_directory():
    a_run()
    given = a_run("elsewhere")
    assert rewritten("ckpt_path=last", f"hydra.run.dir={given}") == [
        "ckpt_path='elsewhere'",
        "hydra.run.dir=elsewhere",
    ]


def test_hydra_reads_a_directory_with_special_characters():
    run = a_run("outputs/runs/it's a=b, c", loss="lsgan")
    with composed(*rewritten("ckpt_path=last")) as config:
        assert config.ckpt_path == config.hydra.run.dir == run


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["ckpt_path=last"], "finds no run with a checkpoint in outputs/runs"),
        (["ckpt_path=last", "hydra.run.dir=empty"], "finds no checkpoint in empty"),
        (["ckpt_path=nowhere"], "ckpt_path=nowhere holds no checkpoint"),
        (["ckpt_path=here", "hydra.run.dir=there"], "is resumed in here itself: leave hydra.run.dir out"),
        (["launcher=joblib", "ckpt_path=here"], "continue a sweep with resume=auto"),
        (["-m", "ckpt_path=here", "seed=1,2"], "continue a sweep with resume=auto and hydra.sweep.dir=<its folder>"),
    ],
)
def test_what_cannot_be_resumed_is_told(typed: list[str], words: str):
    a_run("here")
    with pytest.raises(UserError, match=words):
        expand_resume_overrides(typed)


def directory(*typed: str) -> str:
    return rewritten(*typed, "resume=auto")[-1]


def test_a_command_finds_its_directory_again():
    asked = directory("loss=lsgan", "optimizer.lr=1e-4")
    assert asked.startswith("hydra.run.dir='outputs/runs/auto_${name}_")
    for same in (
        ["optimizer.lr=1e-4", "loss=lsgan"],
        ["loss=lsgan", "optimizer.lr=0.0001"],
        ["loss=lsgan", "optimizer.lr=1e-4", "max_iterations=9", "logger=csv", "trainer.devices=2", "log_every=1"],
    ):
        assert directory(*same) == asked
    for other in (
        ["loss=lsgan", "optimizer.lr=2e-4"],
        ["loss=lsgan"],
        ["loss=lsgan", "optimizer.lr=1e-4", "seed=1"],
        ["loss=lsgan", "optimizer.lr=1e-4", "trainer.precision=32-true"],
    ):
        assert directory(*other) != asked


def test_a_directory_that_is_given_stays():
    assert expand_resume_overrides(["resume=auto", "hydra.run.dir=mine"]) == ["resume=auto", "hydra.run.dir=mine"]
    assert expand_resume_overrides(["-m", "resume=auto", "seed=1,2"]) == ["-m", "resume=auto", "seed=1,2"]


def test_folders_of_one_name_have_directories_of_their_own():
    ours, theirs = (rewritten("resume=auto", f"data.root=/{place}/photos")[-1] for place in ("ours", "theirs"))
    assert ours != theirs and ours == rewritten("resume=auto", "data.root=/ours/photos", "data.num_workers=2")[-1]
