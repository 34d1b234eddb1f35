"""The MNIST figures of the course report: the quick form, and what a row says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks import common, mnist_report
from benchmarks.mnist_report import Trained, single_row, timed_row


def finished(directory: Path, iterations: int, samples: torch.Tensor, **final: float) -> Trained:
    """A run that ended with these numbers and gives these samples."""
    directory.mkdir()
    result = {"status": "finished", "iterations": iterations, "final": {f"val/{key}": x for key, x in final.items()}}
    (directory / "result.json").write_text(json.dumps(result))
    (directory / "config.yaml").touch()
    run = Trained(directory, ())
    run.__dict__["samples"] = samples
    return run


def test_the_quick_form_leaves_tables_and_a_picture_and_keeps_what_has_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist_report, "OUTPUTS", {"linear": "null"})
    monkeypatch.setattr(mnist_report, "DEPTHS", (3,))
    monkeypatch.setattr(mnist_report, "MODELS", ("mlp",))
    typed = ["--quick", "--runs", str(tmp_path / "runs"), "--results", str(tmp_path)]
    mnist_report.main(typed)
    text = (tmp_path / "mnist.md").read_text()
    assert "| output, discriminator | 0 | 1 | mean |" in text and "\n| linear, 3 layers | " in text
    assert "\n| `mlp` | " in text
    with Image.open(tmp_path / "mnist.png") as picture:
        assert picture.width > 200
    monkeypatch.setattr(Trained, "train", lambda run: None if common.finished(run.directory) else pytest.fail())
    mnist_report.main([*typed, "--no-train"])
    assert (tmp_path / "mnist.md").read_text() == text


def test_runs_that_are_not_there_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        mnist_report.main(["--no-train", "--runs", str(tmp_path)])
    assert "leave --no-train out" in capsys.readouterr().err


def test_rows_hold_what_each_run_ended_with(tmp_path: Path) -> None:
    blank = -torch.ones(8, 1, 28, 28)
    runs = [finished(tmp_path / str(digit), 5, blank, fid=10.0 + digit) for digit in (0, 1)]
    shares = [run.read_as(digit) for digit, run in enumerate(runs)]
    assert set(shares) <= {0.0, 1.0}  # equal pictures are read alike
    cells = " | ".join(f"{fid} / {share:.2f}" for fid, share in zip((10, 11), shares, strict=True))
    assert single_row(("tanh", 3), runs).startswith(f"| tanh, 3 layers | {cells} | 10 / ")
    timed = [finished(tmp_path / f"m{n}", n, blank, fid=n, confidence=0.5, class_entropy=0.25) for n in (100, 200, 300)]
    assert timed_row("mlp", timed) == (
        "| `mlp` | 200 (100 to 300) | 200 (100 to 300) | 0.500 (0.500 to 0.500) | 0.250 (0.250 to 0.250) |"
    )
