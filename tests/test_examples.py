"""The examples run as they stand, but for shorter budgets, in a folder of their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from helpers.run_script import ROOT


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")

    def run(name: str, **replaced: str) -> dict[str, Any]:
        script = (ROOT / "examples" / name).read_text()
        for text, other in replaced.items():
            assert f"{text}=" in script
            script = re.sub(rf"\b{text}=\d+", f"{text}={other}", script)
        names: dict[str, Any] = {}
        exec(compile(script, name, "exec"), names)
        return names

    return run


def test_training_sampling_and_evaluating(example: Any, tmp_path: Path) -> None:
    found = example("train_sample_evaluate.py")
    assert found["samples"].shape == (20, 1, 28, 28)
    assert found["other"]["kid"] > 0
    assert found["longer"].result["iterations"] == 25
    (directory,) = (tmp_path / "outputs" / "runs").iterdir()
    assert {"threes_and_fives.png", "generator.pt2"} <= {file.name for file in directory.iterdir()}


def test_reviewing_a_sweep(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = example("review_a_sweep.py", max_iterations="60", evaluate_every="10")
    assert [len(group) for group in found["by_rate"].values()] == [2, 2, 2]
    rates = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert rates == ["0.00025", "0.001", "0.004"]
    assert all(len(found["curve"](run)[0]) == 6 for run in found["runs"])
    assert (found["sweep"] / "learning_rates.png").is_file()
