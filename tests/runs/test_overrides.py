"""What was typed becomes everything that a run is made of."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers.compose import composed
from omegaconf import OmegaConf

from gan_lightning.runs.overrides import expand_resume_overrides
from gan_lightning.utils.errors import UserError


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def a_run(*overrides: str, name: str = "outputs/runs/one") -> str:
    run = Path(name)
    (run / "checkpoints").mkdir(parents=True)
    for which in ("last", "best"):
        (run / "checkpoints" / f"{which}.ckpt").write_bytes(b"")
    OmegaConf.save(OmegaConf.create(list(overrides)), run / "overrides.yaml")
    return name


def rewritten(*typed: str) -> list[str]:
    """The whole command line; and what a further rank, started with it, makes of it is the same."""
    whole = expand_resume_overrides(typed)
    assert expand_resume_overrides(whole) == whole
    return whole


@pytest.mark.parametrize(
    "arguments", [[], ["loss=lsgan", "-m"], ["--help"], ["ckpt_path=null"], ["a=[", "ckpt_path=x"], ["resume=null"]]
)
def test_a_run_that_does_not_go_on_is_what_was_typed(arguments: list[str]):
    assert expand_resume_overrides(arguments) == arguments


@pytest.mark.parametrize(
    ("before", "typed", "expected"),
    [
        (["loss=lsgan", "seed=3"], ["max_iterations=9"], ["loss=lsgan", "seed=3", "max_iterations=9"]),
        (["max_iterations=5", "seed=3"], ["max_iterations=9"], ["seed=3", "max_iterations=9"]),
        (["ckpt_path=before", "resume=auto", "launcher=joblib", "launcher.n_jobs=2", "seed=3"], [], ["seed=3"]),
        (["logger=wandb", "logger.wandb.project=p", "seed=3"], ["logger=csv"], ["seed=3", "logger=csv"]),
        (["optimizer=sgd", "optimizer.lr=1"], ["optimizer=sgd"], ["optimizer.lr=1", "optimizer=sgd"]),
        (["+callbacks.x.every=1"], ["callbacks.x.every=2"], ["+callbacks.x.every=1", "callbacks.x.every=2"]),
        (["+callbacks.x.every=1"], ["+callbacks.x.every=2"], ["+callbacks.x.every=2"]),
        (["+callbacks.x.every=1"], ["~callbacks.x"], ["~callbacks.x"]),
        (["+callbacks.x=1"], ["~callbacks.x"], ["+callbacks.x=1", "~callbacks.x"]),
        (["~logger.wandb"], ["name=other"], ["~logger.wandb", "name=other"]),
        (
            ["regularizer=[r1,r2]", "name='a, b=c'"],
            ["log_every=1"],
            ["regularizer=[r1,r2]", "name='a, b=c'", "log_every=1"],
        ),
    ],
)
def test_a_run_directory_goes_on_in_place_with_what_is_typed_on_top(
    before: Sequence[str], typed: Sequence[str], expected: Sequence[str]
):
    run = a_run(*before)
    assert rewritten(f"ckpt_path={run}", *typed) == [
        *[line for line in expected if line not in typed],
        f"ckpt_path={run}",
        *typed,
        f"hydra.run.dir='{run}'",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "+callbacks.x={_target_: os.system}",
        "+callbacks.x._target_=os.system",
        "experiment=../../../evil",
        "experiment=[../evil]",
        "loss=/evil",
        "gan.averaging='\\\\${oc.create:\"{_tar\\\\${z}get_: subprocess.getoutput}\"}'",
        "name=${oc.env:HOME}",
    ],
)
def test_a_record_asks_for_nothing_that_conf_does_not_have(line: str):
    run = a_run("seed=3", line)
    with pytest.raises(UserError, match=r"overrides.yaml has the line .*: type it again if you trust it"):
        expand_resume_overrides([f"ckpt_path={run}"])
    assert rewritten(f"ckpt_path={run}", line) == ["seed=3", f"ckpt_path={run}", line, f"hydra.run.dir='{run}'"]


def test_a_record_of_what_conf_names_is_taken_over_and_one_of_hydra_is_not():
    harmless = [
        "optimizer.generator._target_=torch.optim.Adam",
        "callbacks.evaluation._target_=gan_lightning.callbacks.evaluation.Evaluation",
        "optimizer.discriminator.lr=${optimizer.lr}",
        "regularizer=[r1,r2]",
        "wrapper=[]",
        "variant=null",
    ]
    hydras = ["hydra/launcher=joblib", "hydra.job_logging.x=1", "++hydra={job:{env_set:{A:b}}}", "+a@hydra.job=b"]
    run = a_run(*harmless, *hydras)
    assert rewritten(f"ckpt_path={run}") == [*harmless, f"ckpt_path={run}", f"hydra.run.dir='{run}'"]


@pytest.mark.parametrize("text", ["a: b", "- a=[", "- {", "[1, 2"])
def test_a_record_that_cannot_be_read_is_told(text: str):
    run = a_run()
    (Path(run) / "overrides.yaml").write_text(text)
    with pytest.raises(UserError, match="is no record of a run's overrides"):
        expand_resume_overrides([f"ckpt_path={run}"])


def test_a_checkpoint_file_starts_another_run(tmp_path: Path):
    run = a_run("loss=lsgan")
    file = f"ckpt_path={run}/checkpoints/best.ckpt"
    assert rewritten(file, "seed=2") == ["loss=lsgan", file, "seed=2"]


def test_options_of_hydra_stay():
    run = a_run("loss=lsgan")
    assert expand_resume_overrides(["--cfg", "job", f"ckpt_path={run}"])[:3] == ["--cfg", "job", "loss=lsgan"]


def test_the_last_run_is_the_one_that_saved_last():
    for name, when in (("a", 3), ("b", 5), ("c", 4)):
        file = Path(a_run(f"name={name}", name=f"outputs/runs/{name}")) / "checkpoints" / "last.ckpt"
        os.utime(file, (when, when))
    Path("outputs/runs/d").mkdir()
    assert rewritten("ckpt_path=last") == ["name=b", "ckpt_path='outputs/runs/b'", "hydra.run.dir='outputs/runs/b'"]


def test_the_last_run_is_the_given_directory():
    a_run("name=b")
    given = a_run("name=a", name="elsewhere")
    assert rewritten("ckpt_path=last", f"hydra.run.dir={given}") == [
        "name=a",
        "ckpt_path='elsewhere'",
        "hydra.run.dir=elsewhere",
    ]


def test_hydra_reads_a_directory_with_special_characters():
    run = a_run("loss=lsgan", name="outputs/runs/it's a=b, c")
    with composed(*rewritten("ckpt_path=last")) as config:
        assert config.ckpt_path == config.hydra.run.dir == run


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["ckpt_path=last"], "finds no run with a checkpoint in outputs/runs"),
        (["ckpt_path=last", "hydra.run.dir=empty"], "finds no checkpoint in empty"),
        (["ckpt_path=nowhere"], "ckpt_path=nowhere holds no checkpoint"),
        (["ckpt_path=here", "hydra.run.dir=there"], "goes on in here itself: leave hydra.run.dir out"),
        (["launcher=joblib", "ckpt_path=here"], "continue a sweep with resume=auto"),
        (["-m", "ckpt_path=here", "seed=1,2"], "continue a sweep with resume=auto and hydra.sweep.dir=<its folder>"),
    ],
)
def test_where_nothing_can_go_on_is_told(typed: list[str], words: str):
    a_run(name="here")
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
