"""What the README tells a stranger to type and to write works as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.compose import GROUPS, answers

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


@pytest.mark.parametrize("choices", [("variant=bright", "data=checkers"), ("loss=absolute", "model=linear")])
def test_additions_of_the_readme_train(choices: tuple[str, ...], tmp_path: Path):
    """Two in one game, in a copy of the project with the README's files in it."""
    for part in ("gan_lightning", "conf"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", tmp_path)
    for path, content in BLOCKS:
        assert not (tmp_path / path).exists(), "an addition adds files and edits none"
        (tmp_path / path).write_text(content)
    for choice in choices:
        assert f"python train.py {choice}" in README
    done = subprocess.run(
        [sys.executable, "train.py", *choices, *QUICK], cwd=tmp_path, capture_output=True, text=True, timeout=300
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
