"""Folders that `--config-dir` has named are remembered, and trusted as conf/ is; packages are trusted by `trust=`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.run_script import run_without_torch

from gan_lightning.runs.safe_targets import allowed_targets, is_allowed
from gan_lightning.utils.config_dirs import remember_config_dir, remembered_config_dirs


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GAN_LIGHTNING_CACHE", str(tmp_path / "cache"))
    allowed_targets.cache_clear()
    yield
    allowed_targets.cache_clear()


def own_conf(folder: Path) -> Path:
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "stripes.yaml").write_text("_target_: mydata.Stripes\n")
    return folder


def test_what_a_remembered_folder_names_may_be_built(tmp_path: Path):
    folder = own_conf(tmp_path / "Überordner")
    assert remembered_config_dirs() == [] and "mydata.Stripes" not in allowed_targets()
    for _ in range(2):
        remember_config_dir(f"file://{folder}")
    for other in (f"file://{tmp_path / 'nowhere'}", "pkg://no_such_package.conf"):
        remember_config_dir(other)
    assert remembered_config_dirs() == [folder]
    allowed_targets.cache_clear()
    assert "mydata.Stripes" in allowed_targets()


@pytest.mark.parametrize(
    "option", ["--config-dir={folder}", "hydra.searchpath=[file://{folder}]", "hydra.searchpath=[pkg://own.conf]"]
)
def test_a_command_remembers_its_folder(option: str, tmp_path: Path):
    """The package is in the working directory."""
    folder = own_conf(tmp_path / "own" / "conf")
    (folder / "__init__.py").touch()
    choices = ("data=stripes", "max_iteration=1", "seed=-1")
    done = run_without_torch(tmp_path, "train.py", option.format(folder=folder), *choices)
    assert done.returncode == 2 and "did you mean max_iterations?" in done.stderr
    assert remembered_config_dirs() == [folder]


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GAN_LIGHTNING_CACHE", "/dev/null/cache")
    remember_config_dir(f"file://{own_conf(tmp_path / 'conf')}")
    assert remembered_config_dirs() == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mypkg.losses.Mine", True),
        ("mypkg", False),
        ("mypkgs.Mine", False),
        ("mypkg.losses.__builtins__.eval", False),
        (["mypkg.losses.Mine"], False),
        ("torch.optim.Adam", True),
        ("torch.optim.Adam.step", False),
    ],
)
def test_a_package_that_is_trusted_stands_for_all_in_it(name: object, expected: bool):
    """But not for what is reached through its functions; and what conf/ names stands for itself alone."""
    assert is_allowed(name, {"torch.optim.Adam"}, ["mypkg"]) is expected


@pytest.mark.parametrize("content", [b"\xff\x00", b"/" + b"x" * 300 + b"\n", b"\0\n.\n..\n", b"[2J\n", None])
def test_a_list_of_garbage_names_no_folder(content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """None is a named pipe, which would be waited for. Only whole paths are taken."""
    monkeypatch.setenv("GAN_LIGHTNING_CACHE", str(tmp_path))
    if content is None:
        os.mkfifo(tmp_path / "config_dirs.txt")
    else:
        (tmp_path / "config_dirs.txt").write_bytes(content)
    assert remembered_config_dirs() == []


@pytest.mark.parametrize("option", ["--config-dir={folder}", "hydra.searchpath=[file://{folder}]"])
def test_ones_own_file_replaces_that_of_conf(option: str, tmp_path: Path):
    """Also where the command is composed, which Hydra does by itself."""
    (tmp_path / "own" / "schedule").mkdir(parents=True)
    (tmp_path / "own" / "schedule" / "constant.yaml").write_text("mine: 5\n")
    option = option.format(folder=tmp_path / "own")
    done = run_without_torch(tmp_path, "train.py", option, "schedule=constant", "--cfg", "job", "--package", "schedule")
    assert done.stdout.splitlines()[-1] == "mine: 5", done.stderr
    done = run_without_torch(tmp_path, "train.py", option, "schedule=constant", "schedule.nope=1")
    assert done.returncode == 2 and "schedule has mine" in done.stderr
