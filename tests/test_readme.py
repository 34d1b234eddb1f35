"""What the README tells a stranger to type and to write works as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from composing import GROUPS, answers

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", README, re.DOTALL)
QUICK = (
    "max_iterations=2",
    "metrics.num_fakes=100",
    "logger=csv",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
)


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the README's additions in it."""
    folder = tmp_path_factory.mktemp("extended")
    for part in ("gan_lightning", "conf"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", folder)
    for path, content in BLOCKS:
        assert not (folder / path).exists(), "an addition adds files and edits none"
        (folder / path).write_text(content)
    return folder


@pytest.mark.parametrize("choice", ["variant=bright", "loss=absolute", "model=linear", "data=checkers"])
def test_an_addition_of_the_readme_trains(choice: str, extended: Path):
    assert f"python train.py {choice}" in README
    done = subprocess.run(
        [sys.executable, "train.py", choice, *QUICK], cwd=extended, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "finished: 2 iterations" in done.stdout


@pytest.mark.parametrize("group", [group for group in GROUPS if group not in ("callbacks", "trainer", "metrics")])
def test_the_readme_names_every_answer(group: str):
    for name in answers(group):
        assert f"`{name}`" in README, f"{group}={name}"


def test_the_readme_links_to_files_that_exist():
    headings = {f"#{title.lower().replace(' ', '-')}" for title in re.findall(r"^#+ (.+)$", README, re.MULTILINE)}
    for path in re.findall(r"\]\(([^):]+)\)", README):
        assert path in headings if path.startswith("#") else (ROOT / path).is_file(), path
