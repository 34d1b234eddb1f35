"""Attacks with a run directory or checkpoint that was prepared by a stranger, played against every command."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers.sampled_runs import sampled
from helpers.strangers_run import SETTINGS, Content, last, prepare, refused, resume

import gan_lightning as gl
from gan_lightning.runs.checkpoints import load
from gan_lightning.runs.run_dir import refuse_escapes
from gan_lightning.runs.safe_targets import flaw_of
from gan_lightning.utils.errors import UserError

# What a run is resumed with


def test_a_run_is_resumed_with_its_own_settings_and_what_is_typed(theirs: Path) -> None:
    resumed = resume(theirs, "log_every=2").config
    assert (resumed.max_iterations, resumed.gan.max_iterations, resumed.log_every) == (4, 4, 2)
    assert (resumed.callbacks.scalars.every, resumed.callbacks.health.every, resumed.callbacks.density) == (2, 7, None)
    assert (resumed.metrics.num_fakes, resumed.callbacks.evaluation.num_fakes) == (200, 200)
    assert resumed.callbacks.checkpoint.directory == str(theirs / "checkpoints")


def test_the_length_of_a_schedule_follows_what_is_typed(tmp_path: Path) -> None:
    gl.train([*SETTINGS, "schedule=linear", "optimizer.lr=5e-4"], tmp_path / "run")
    config = gl.train([f"ckpt_path={tmp_path / 'run'}", "max_iterations=3"]).config
    assert config.gan.generator_schedule.iterations == config.schedule.discriminator.iterations == 3
    assert config.gan.generator_optimizer.lr == config.optimizer.lr == 5e-4


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("optimizer.lr=1", "optimizer.lr was 0.001 and is now 1"),
        ("loss=lsgan", "loss was gan and is now lsgan"),
        ("regularizer=[r2]", "regularizer was [] and is now"),
    ],
)
def test_another_game_is_refused(typed: str, words: str, theirs: Path) -> None:
    assert words in refused(lambda: resume(theirs, typed))


def test_the_record_of_what_was_typed_only_informs(theirs: Path, tmp_path: Path) -> None:
    lines = f"- seed=9\n- '++callbacks.x={{_target_: os.mkdir, path: {tmp_path}/mark}}'\n"
    (theirs / "overrides.yaml").write_text(lines)
    assert resume(theirs).config.seed == 0
    assert not (tmp_path / "mark").exists()
    assert (theirs / "overrides.yaml").read_text() == lines


# Code


@pytest.mark.parametrize("value", ["${oc.env:HOME}", "\\${oc.env:HOME}", "${oc.create:'{_target_: os.mkdir}'}", "???"])
@pytest.mark.parametrize("place", ["name", "optimizer", "logger"])
def test_values_are_never_filled_in(value: str, place: str, theirs: Path) -> None:
    def change(settings: Content) -> None:
        if place == "name":
            settings["name"] = value
        else:
            settings[place]["x"] = [{"a": value}]

    prepare(theirs, change)
    assert "has settings with" in refused(lambda: resume(theirs))
    if place != "logger":  # which is not built again
        assert "has settings with" in refused(lambda: load(last(theirs), "cpu"))


def test_a_node_named_after_an_allowed_target_runs_nothing(theirs: Path, tmp_path: Path) -> None:
    def change(settings: Content) -> None:
        settings["gan_lightning"] = {"gan": {"GAN": "os.system"}}
        settings["gan"]["averaging"] = {"_target_": "${gan_lightning.gan.GAN}", "command": f"touch {tmp_path}/mark"}

    prepare(theirs, change)
    for action in (lambda: resume(theirs), lambda: sampled(last(theirs), "format=npz"), lambda: load(theirs, "cpu")):
        refused(action)
    assert not (tmp_path / "mark").exists()


def test_an_unknown_key_is_refused(theirs: Path) -> None:
    prepare(theirs, lambda settings: settings.update(mine={"a": 1}))
    assert "has mine, which is in no file of conf/" in refused(lambda: resume(theirs))
    assert "has settings mine, which no file of conf/ names" in refused(lambda: load(last(theirs), "cpu"))
    assert load(last(theirs), "cpu", trust=["mine"]).gan.iterations == 2


@pytest.mark.parametrize("place", ["gan.averaging", "metrics.metrics.x", "data.distribution", "extractor", "loss.x"])
def test_foreign_code_is_refused_wherever_it_stands(place: str, theirs: Path, tmp_path: Path) -> None:
    def change(settings: Content) -> None:
        *path, name = place.split(".")
        node = settings
        for part in path:
            node = node.setdefault(part, {})
        node[name] = {"_target_": "os.mkdir", "_args_": [str(tmp_path / "mark")]}

    prepare(theirs, change)
    assert "_target_=os.mkdir, " in refused(lambda: resume(theirs))
    assert "names os.mkdir, which no file of conf/ names" in refused(lambda: load(last(theirs), "cpu"))
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "part",
    [
        ("metrics", "metrics", "gan_lightning.loggers.MetricsCSV"),
        ("gan", "averaging", "gan_lightning.callbacks.checkpoint.Checkpoint"),
    ],
)
def test_what_writes_is_not_built_as_a_part_of_the_game(part: tuple[str, str, str], theirs: Path) -> None:
    above, name, target = part
    prepare(theirs, lambda settings: settings[above].update({name: {"x": {"_target_": target, "path": "/x"}}}))
    assert f"_target_={target}" in refused(lambda: resume(theirs))


# Paths


def outside(theirs: Path, tmp_path: Path) -> Callable[[Content], None]:
    def change(settings: Content) -> None:
        settings["logger"]["csv"]["path"] = str(tmp_path / "profile")
        settings["callbacks"]["checkpoint"]["directory"] = str(tmp_path / "elsewhere")
        settings["callbacks"]["evaluation"]["cache"] = str(tmp_path / "cache")
        settings["name"] = "../../../elsewhere"

    return change


def test_paths_that_are_written_to_are_those_of_the_new_run(
    theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prepare(theirs, outside(theirs, tmp_path))
    (tmp_path / "profile").write_text("mine")
    new = gl.train([f"ckpt_path={last(theirs)}", "max_iterations=3"])
    assert new.directory.parent == tmp_path / "outputs" / "runs" or new.directory.parent == Path("outputs/runs")
    config = new.config
    for path in (config.logger.csv.path, config.callbacks.checkpoint.directory):
        assert Path(path).is_relative_to(new.directory.absolute())
    assert config.callbacks.evaluation.cache == "auto" and config.name == "gaussian-mlp-gan-s0"
    assert (tmp_path / "profile").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"profile", "theirs", "outputs"}


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("callbacks", "mine", {"_target_": "gan_lightning.callbacks.checkpoint.Checkpoint", "directory": "/x"}),
        ("callbacks", "density", {"_target_": "gan_lightning.callbacks.density.DensityPlot", "every": 1}),
        ("logger", "mine", {"_target_": "gan_lightning.loggers.MetricsCSV", "path": "/x"}),
        ("logger", "csv", {"_target_": "gan_lightning.loggers.WandB", "path": "/x"}),
        ("logger", "csv", {"_target_": "gan_lightning.loggers.MetricsCSV", "path": "/x", "more": 1}),
        ("trainer", "default_root_dir", "/x"),
        ("trainer", "profiler", {"_target_": "lightning.pytorch.profilers.SimpleProfiler", "dirpath": "/x"}),
    ],
)
def test_parts_that_write_are_not_added_by_a_run(part: str, name: str, value: Any, theirs: Path) -> None:
    def change(settings: Content) -> None:
        settings[part][name] = value

    prepare(theirs, change)
    if (part, name) == ("callbacks", "density"):  # which conf/ has, and this run had switched off
        assert resume(theirs).config.callbacks.density.every == 1
    else:
        assert f"has {part}.{name}" in refused(lambda: resume(theirs))


def test_what_a_run_added_is_resumed_when_it_is_typed_again(tmp_path: Path) -> None:
    own = "+callbacks.mine={_target_: lightning.pytorch.callbacks.Callback}"
    directory = gl.train([*SETTINGS, own], tmp_path / "run").directory
    assert "has callbacks.mine, which is in no file of conf/: type it again" in refused(lambda: resume(directory))
    assert "mine" in resume(directory, own).config.callbacks


@pytest.mark.parametrize("name", ["metrics.csv", "train.log", "samples", "checkpoints/last.ckpt"])
def test_a_link_out_of_a_run_is_refused(name: str, theirs: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    path = theirs / name
    if path.is_file():
        path.rename(victim)
    elif path.is_dir():
        shutil.rmtree(path)
    path.symlink_to(victim)
    before = victim.read_bytes() if victim.exists() else None
    assert "leads out of the run directory" in refused(lambda: resume(theirs))
    assert (victim.read_bytes() if victim.exists() else None) == before


def test_a_pipe_in_a_run_is_refused_at_once(theirs: Path) -> None:
    (theirs / "train.log").unlink(missing_ok=True)
    os.mkfifo(theirs / "train.log")
    assert "or is no file" in refused(lambda: refuse_escapes(theirs))


# Bombs and garbage


def test_settings_that_grow_without_bound_are_refused_at_once(theirs: Path) -> None:
    def change(settings: Content) -> None:
        node: Any = ["x"] * 10
        for _ in range(30):
            node = [node] * 10
        settings["optimizer"]["x"] = node

    content = torch.load(last(theirs), weights_only=True)
    change(content["hyper_parameters"])
    started = time.monotonic()
    assert "more in them than any run has" in str(flaw_of(content["hyper_parameters"]))
    torch.save(content, last(theirs))  # to compute its checksum would take for ever
    assert "was changed" in refused(lambda: load(last(theirs), "cpu"))
    assert time.monotonic() - started < 60


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "a: !!python/object/apply:os.mkdir [mark]",
        "a: !mine 1",
        "a: ${oc.env:HOME}",
        "- 1",
        "a: [",
        "a" * 2**21,
        "",
        "\0",
    ],
    ids=["bomb", "code", "tag", "interpolation", "list", "broken", "large", "empty", "binary"],
)
def test_a_configuration_of_a_stranger_is_plain(text: str, theirs: Path) -> None:
    (theirs / "config.yaml").write_text(text)
    started = time.monotonic()
    assert "is not the configuration of a run" in refused(lambda: gl.Run(theirs).config)
    assert time.monotonic() - started < 10
    (theirs / "config.yaml").write_bytes(b"\xff\xfe\x00" * 100)
    assert "is not the configuration of a run" in refused(lambda: gl.Run(theirs).config)


def test_a_run_is_resumed_whatever_its_files_for_readers_hold(theirs: Path) -> None:
    for name in ("config.yaml", "overrides.yaml", "environment.json", "result.json"):
        (theirs / name).write_bytes(b"\xff\x00 garbage \x1b[2J")
    assert resume(theirs).result["status"] == "finished"
    assert yaml.safe_load((theirs / "config.yaml").read_text())["max_iterations"] == 4


@pytest.mark.parametrize("content", [b"\xff\x00", b"[1]", b"{", b"", b"[" * 100000])
def test_a_result_of_garbage_is_one_sentence(content: bytes, theirs: Path) -> None:
    (theirs / "result.json").write_bytes(content)
    assert "is not a result as train.py writes it" in refused(lambda: gl.Run(theirs).result)
    again = gl.train([*SETTINGS, "callbacks.health.every=7", "resume=auto"], theirs)
    assert again.result["iterations"] == 2


@pytest.mark.parametrize("content", [b"\xff\x00", b"", b"iteration,a\nx,1\n", b"a,b\n1,2\n", b"iteration\n1,2,3\n"])
def test_numbers_of_garbage_are_one_sentence(content: bytes, theirs: Path) -> None:
    (theirs / "metrics.csv").write_bytes(content)
    before = last(theirs).read_bytes()
    assert "metrics.csv is no table of numbers by iteration" in refused(lambda: resume(theirs))
    assert "metrics.csv is no table of numbers by iteration" in refused(lambda: gl.Run(theirs).metrics)
    assert last(theirs).read_bytes() == before


# What is printed


def test_control_characters_are_never_printed_raw() -> None:
    problem = UserError(["a\x1b[2Jb\nc\x07d\u202ee\udcff"]).report()
    assert problem.replace("\n", "").isprintable()
    assert "a\\x1b[2Jb\nc\\x07d\\u202ee\\udcff" in problem


def test_names_are_no_markup(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from gan_lightning.runs.report import print_report

    strange = tmp_path / "x [" / "b] y\x1b[2J"
    strange.mkdir(parents=True)
    (strange / "result.json").write_text("{}")
    result = {"status": "finished", "iterations": 1, "images": 1, "seconds": 0, "final": {"[/b]": 1.0}, "best": {}}
    print_report(result, strange, trainer=type("Trainer", (), {"loggers": []})())
    printed = capsys.readouterr().out
    assert "x [/b] y\\x1b[2J/result.json" in printed and "[/b]" in printed and "\x1b" not in printed
