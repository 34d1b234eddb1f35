"""What a user installs: the pins, the wheel, and the Makefile that puts both in place."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
WANTED = [Requirement(text) for text in [*PROJECT["dependencies"], *sum(PROJECT["optional-dependencies"].values(), [])]]
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]


def pinned(name: str, python: str) -> list[Requirement]:
    """The pins of one package that hold for one Python."""
    named = [pin for pin in PINS if canonicalize_name(pin.name) == canonicalize_name(name)]
    return [pin for pin in named if applies(pin, python)]


def applies(requirement: Requirement, python: str) -> bool:
    environment = {"python_version": python, "python_full_version": f"{python}.9"}
    return requirement.marker is None or requirement.marker.evaluate(environment)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("wanted", [w for w in WANTED if w.name != PROJECT["name"]], ids=lambda wanted: wanted.name)
def test_every_dependency_has_one_pin_within_its_range(wanted: Requirement, python: str) -> None:
    if not applies(wanted, python):
        assert not pinned(wanted.name, python)
        return
    [pin] = pinned(wanted.name, python)
    [version] = [spec.version for spec in pin.specifier if spec.operator == "=="]
    assert wanted.specifier.contains(version)


def test_every_pin_is_exact_and_none_is_a_build_of_one_platform() -> None:
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) and pin.url is None for pin in PINS)
    assert not [pin.name for pin in PINS if pin.name.startswith(("nvidia", "cuda", "triton"))]


@pytest.mark.parametrize("version", ["2.6.2", "2.6.3"])
def test_compromised_lightning_is_excluded(version: str) -> None:
    [lightning] = [wanted for wanted in WANTED if wanted.name == "lightning"]
    assert not lightning.specifier.contains(version)
    assert lightning.specifier.contains("2.6.6")


def test_no_file_names_a_package_host() -> None:
    files = ["pyproject.toml", "constraints.txt", "Makefile", ".ci/run", "docker/Dockerfile", "docker/compose.yaml"]
    assert not [name for name in files if re.search(r"://|index-url|--index\b", (ROOT / name).read_text())]


def files_under(folder: str) -> set[str]:
    paths = (path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if "__pycache__" not in path.parts and not path.name.startswith(".")}


def hatchling(source: Path, target: str, destination: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(destination)]
    subprocess.run(command, cwd=source, check=True)
    [built] = destination.iterdir()
    return built


def test_wheel_made_from_the_sdist_carries_code_assets_and_conf(tmp_path: Path) -> None:
    with tarfile.open(hatchling(ROOT, "sdist", tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path)
    wheel = hatchling(tmp_path / f"gan_lightning-{PROJECT['version']}", "wheel", tmp_path / "wheel")
    carried = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert carried == files_under("gan_lightning") | files_under("hydra_plugins") | {
        f"gan_lightning/{name}" for name in files_under("conf")
    }
    assert {"gan_lightning/py.typed", "gan_lightning/conf/train.yaml"} <= carried


# A Python that installs nothing: it makes the environment by copying itself, and logs what pip is asked for.
FAKE_PYTHON = """#!/bin/sh
case "$1 $2" in
    "-c "*sys.version_info*) exit ${OLD_PYTHON:-0} ;;
    "-c "*ensurepip*) exit ${NO_VENV:-0} ;;
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m pip") [ "$3" = --version ] || { echo "$@" >>"$LOG"; exit ${PIP_FAILS:-0}; } ;;
    *) echo "$@" >>"$LOG" ;;
esac
"""


class Make:
    """`make` with its own environment folder, in which nothing is really installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "fake-python"
        self.python.write_text(FAKE_PYTHON)
        self.python.chmod(0o755)
        self.log = folder / "log"

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        outer = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "ARGS")}
        return subprocess.run(
            ["make", *arguments, f"PYTHON={self.python}", f"VENV={self.folder / 'venv'}"],
            cwd=ROOT,
            env=outer | environment | {"LOG": str(self.log)},
            capture_output=True,
            text=True,
        )

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return Make(tmp_path)


def test_make_alone_lists_the_targets(make: Make) -> None:
    listed = re.findall(r"^make (\w+) +\S", make().stdout, re.MULTILINE)
    assert listed == ["help", "install", "train", "test", "lint", "format", "docs", "clean"]


def test_train_installs_the_pins_once_and_then_only_trains(make: Make) -> None:
    assert make("train", "ARGS=loss=hinge").returncode == 0
    assert make.calls == ["-m pip install -c constraints.txt -e .", "train.py loss=hinge"]
    make("train")
    assert make.calls == ["train.py experiment=digits"]


def test_tests_install_their_extra(make: Make) -> None:
    make("test", "ARGS=-k fid")
    assert make.calls == ["-m pip install -c constraints.txt -e .[test]", "-m pytest -n 2 --dist loadfile -k fid"]


def test_an_install_that_failed_is_repeated(make: Make) -> None:
    assert make("install", PIP_FAILS="1").returncode != 0
    assert make("install").returncode == 0
    assert len(make.calls) == 1
    assert make("install").returncode == 0
    assert make.calls == []


@pytest.mark.parametrize(
    ("lacks", "sentence"),
    [({"OLD_PYTHON": "1"}, "older than Python 3.10"), ({"NO_VENV": "1"}, "apt install python3-venv")],
)
def test_an_unfit_python_is_refused_with_the_way_out(make: Make, lacks: dict[str, str], sentence: str) -> None:
    result = make("install", **lacks)
    assert result.returncode != 0
    assert sentence in result.stderr
    assert make.calls == []


def test_a_missing_python_is_reported(make: Make) -> None:
    make.python = make.folder / "absent"
    assert "There is no" in make("install").stderr
