"""What the README and the documentation tell a stranger to type, to write and to read is true."""

from __future__ import annotations

import ast
import inspect
import math
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.compose import GROUPS, answers, composed
from hydra.core.override_parser.overrides_parser import OverridesParser

import gan_lightning
from gan_lightning.gan import GAN
from gan_lightning.runs.data_path import expand_data_path
from gan_lightning.runs.validate import validate

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DOCS = {page.relative_to(ROOT).as_posix(): page.read_text() for page in sorted((ROOT / "docs").glob("*.md"))}
PAGES = {name: (ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")} | DOCS
ADDITIONS = [
    block
    for page in (README, DOCS["docs/extending.md"])
    for block in re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", page, re.DOTALL)
]
ADDED = sorted({f"{Path(path).parent.name}={Path(path).stem}" for path, _ in ADDITIONS if path.endswith(".yaml")})
QUICK = (
    "max_iterations=2",
    "metrics.num_fakes=100",
    "logger=csv",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
)

# Additions


def test_additions_train(tmp_path: Path):
    """All in one run, in a copy of the project with the files of the README and of docs/extending.md in it."""
    for part in ("gan_lightning", "conf"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", tmp_path)
    for path, content in dict(ADDITIONS).items():
        assert not (tmp_path / path).exists(), "an addition adds files and edits none"
        (tmp_path / path).write_text(content)
    for choice in ADDED:
        assert f"python train.py {choice}" in DOCS["docs/extending.md"]
    done = subprocess.run(
        [sys.executable, "train.py", *ADDED, *QUICK], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "finished: 2 iterations" in done.stdout


def test_a_file_shown_twice_is_the_same():
    for path, content in ADDITIONS:
        assert content == dict(ADDITIONS)[path], path


# Commands


def commands() -> list[str]:
    """Return the command lines of all pages, without their comments, each once."""
    text = "\n".join(page.replace("\\\n", " ") for page in PAGES.values())
    lines = re.findall(r"^    python ((?:train|eval|sample)\.py.*)$", text, re.MULTILINE)
    return sorted({shlex.join(shlex.split(line, comments=True)) for line in lines})


ELSEWHERE = {"launcher=ray"}
"""Ray's plugin wants an environment of its own."""


def single(override: str) -> str:
    """Return `override` with the first of the values that it sweeps over."""
    parsed = OverridesParser.create().parse_override(override)
    if not parsed.is_sweep_override():
        return override
    return f"{parsed.get_key_element()}={next(parsed.sweep_string_iterator())}"


@pytest.mark.parametrize("line", [line for line in commands() if not {*shlex.split(line)} & {*ADDED, *ELSEWHERE}])
def test_commands_pass_the_checks_before_a_run(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for folder in ("photos", "paintings", "my_gans"):
        Path(folder).mkdir()
    program, *arguments = shlex.split(line)
    arguments = expand_data_path(arguments) if program == "train.py" else arguments
    overrides = [single(argument) for argument in arguments if "=" in argument]
    with composed(*overrides, config_name=program.removesuffix(".py")) as config:
        if program == "train.py" and "ckpt_path" not in line:
            validate(config, "train")


# Python


def python_blocks(page: str) -> list[str]:
    """Return the blocks of Python that are no files of the project."""
    return re.findall(r"```python\n([^#].*?)```", page, re.DOTALL)


def test_the_front_door_works_as_the_readme_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    [block] = python_blocks(README)
    overrides = '"seed=1", "max_iterations=2", "evaluate_every=2", "logger=csv", "trainer.accelerator=cpu"'
    names: dict[str, Any] = {}
    exec(block.replace('"seed=1"', overrides), names)
    assert names["run"].result["status"] == "finished"
    assert names["points"].shape == (64, 2)
    assert math.isfinite(names["numbers"]["jsd"])
    assert (tmp_path / "generator.onnx").is_file()


def test_the_parts_train_without_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The last block of docs/python.md, with a short budget."""
    monkeypatch.chdir(tmp_path)
    block = python_blocks(DOCS["docs/python.md"])[-1]
    names: dict[str, Any] = {}
    exec(block.replace("max_iterations=500", "max_iterations=2"), names)
    assert names["gan"].iterations == 2
    assert names["samples"].shape == (1000, 2)


def front_door_calls() -> list[ast.Call]:
    """Return the calls of ``gl.<function>`` and ``gan.<method>`` in the blocks of the README and of docs/python.md."""
    text = "\n".join(python_blocks(README + DOCS["docs/python.md"]))
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return [call for call in calls if re.match(r"(gl|gan)\.", ast.unparse(call))]


@pytest.mark.parametrize("call", front_door_calls(), ids=ast.unparse)
def test_calls_of_the_front_door_fit_its_signatures(call: ast.Call):
    owner, _, name = ast.unparse(call.func).partition(".")
    function = getattr(gan_lightning if owner == "gl" else GAN, name)
    arguments = [None] * (len(call.args) + (owner == "gan"))
    inspect.signature(function).bind(*arguments, **{str(keyword.arg): None for keyword in call.keywords})


# What is named


@pytest.mark.parametrize("group", GROUPS)
def test_configuration_names_every_answer(group: str):
    page = DOCS["docs/configuration.md"]
    for name in answers(group):
        assert re.search(rf"`({group}=)?{name}`", page), f"{group}={name}"


@pytest.mark.parametrize(
    ("page", "groups"),
    [
        ("losses", ("loss", "regularizer", "variant", "wrapper")),
        ("models", ("model",)),
        ("experiments", ("experiment",)),
        ("metrics", ("metrics", "extractor")),
        ("sweeps", ("launcher",)),
    ],
)
def test_pages_have_a_row_or_heading_for_every_answer(page: str, groups: tuple[str, ...]):
    text = DOCS[f"docs/{page}.md"]
    rows = "\n".join(line for line in text.splitlines() if line.startswith(("|", "##")))
    for group in groups:
        for name in answers(group):
            assert re.search(rf"^##+ {name}$|`({group}=)?{name}`", rows, re.MULTILINE), f"{group}={name}"


def tree(text: str) -> set[str]:
    """Return the modules of the README's tree, as paths within the package. A ( ends names."""
    named, folder = set(), ""
    for line in text.partition("    gan_lightning/\n")[2].partition("\n\n")[0].splitlines():
        words, indent = line.partition("(")[0].split(), len(line) - len(line.lstrip())
        if words[0].endswith("/"):
            folder, words = words[0], words[1:]
        elif words[0].endswith(".py"):
            folder = "" if indent == 6 else folder
            words = [word.removesuffix(".py") for word in words if word.endswith(".py")]
        named |= {folder + word for word in words}
    return named


def test_the_tree_of_the_readme_is_the_package():
    package = ROOT / "gan_lightning"
    modules = {path.relative_to(package).with_suffix("").as_posix() for path in package.rglob("*.py")}
    assert tree(README) == {module for module in modules if not module.endswith("/__init__")}


# Links


def anchors(page: str) -> set[str]:
    """Return the anchors of the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str):
    for link in re.findall(r"\]\(([^)\s]+)\)", PAGES[name]):
        path, _, anchor = link.partition("#")
        if link.startswith("https://"):
            continue
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target.read_text()), link


def test_readme_and_contributing_stay_short():
    assert len(README.splitlines()) <= 150
    assert len(PAGES["CONTRIBUTING.md"].splitlines()) <= 60
