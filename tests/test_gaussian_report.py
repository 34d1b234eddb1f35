from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import gaussian_report
from benchmarks.gaussian_report import Cell, findings, harder, share, verdict


def made_cell(directory: Path, settings: str, std: float, jsd: list[float], **others: list[float]) -> Cell:
    """A cell whose seeds ended with these numbers, and had others before."""
    directory.mkdir(parents=True)
    columns = {
        **{
            "val/jsd": jsd,
            "val/wasserstein1": jsd,
            "val/mean_error": [0.0] * len(jsd),
            "val/std_error": [0.0] * len(jsd),
        },
        **{f"val/{name}": [0.0] * len(jsd) for name in ("discriminator_error", "distance_from_half")},
        **{f"val/{name}": [0.0] * len(jsd) for name in ("game_value", "optimal_value")},
        **{f"val/{name}": values for name, values in others.items()},
    }
    with (directory / "metrics.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["iteration", "seed", *columns])
        rows.writerows([[50, seed, *([0.6] * len(columns))] for seed in range(len(jsd))])
        rows.writerows([[100, seed, *numbers] for seed, numbers in enumerate(zip(*columns.values(), strict=True))])
    return Cell(settings, 3.0, std, 8.0, directory)


def test_the_quick_form_leaves_a_table_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gaussian_report, "WIDTHS", (8.0,))
    monkeypatch.setattr(gaussian_report, "TARGETS", gaussian_report.TARGETS[:2])  # which the findings compare
    monkeypatch.setattr(
        sys, "argv", ["gaussian_report", "--quick", "--runs", f"{tmp_path}/runs", "--results", str(tmp_path)]
    )
    gaussian_report.main()
    text = (tmp_path / "gaussian.md").read_text()
    assert text.count("\n| report | N(") == 2 and text.count("\n| platform | N(") == 2
    with Image.open(tmp_path / "gaussian.png") as picture:
        assert picture.width > 500
    assert text in capsys.readouterr().out


def test_a_row_is_of_the_last_numbers(tmp_path: Path) -> None:
    cell = made_cell(tmp_path / "a", "report", 0.5, [0.01, 0.05, 0.06], std_error=[0.0, 0.25, -0.25])
    assert cell.succeeded == [True, True, False]
    assert cell.values("std_ratio") == [1.0, 1.5, 0.5]
    assert cell.line.startswith("| report | N(3, 0.5) | U(-8, 8) | 2/3 (0.21 to 0.94) | 0.050 (0.030 to 0.055) |")


def test_findings_are_confirmed_by_numbers_that_show_them_and_refuted_by_their_contrary(tmp_path: Path) -> None:
    apart = {
        "mean_error": [-1.0, 0.0, 1.0],
        "std_error": [-0.1, -0.11, -0.12],
        "distance_from_half": [0.01, 0.02, 0.01],
    }
    cells = [
        made_cell(tmp_path / "wide", "report", 0.5, [0.3, 0.31, 0.32], **apart),
        made_cell(tmp_path / "narrow", "report", 0.2, [0.1, 0.11, 0.12], **apart),
        made_cell(tmp_path / "other", "platform", 0.5, [0.0, 0.0, 0.0]),  # which the findings leave out
    ]
    assert all(": confirmed" in finding for finding in findings(cells))
    alike = {"mean_error": [0.0, 0.001, 0.0], "std_error": [0.1, 0.11, 0.12], "distance_from_half": [0.4, 0.41, 0.4]}
    cells = [
        made_cell(tmp_path / "wide2", "report", 0.5, [0.1, 0.11, 0.12], **alike),
        made_cell(tmp_path / "narrow2", "report", 0.2, [0.3, 0.31, 0.32], **alike),
    ]
    assert all(": refuted" in finding for finding in findings(cells))


def test_words_and_shares() -> None:
    assert share([True] * 19 + [False]) == "19/20 (0.76 to 0.99)"  # Wilson 1927: (p + z²/2n ± ...) / (1 + z²/n)
    assert (verdict(True, False), verdict(False, True)) == ("confirmed", "refuted")
    assert verdict(False, False) == "neither confirmed nor refuted"
    assert harder([1.0, 1.1, 1.0], [1.0, 1.05, 1.06]) == "neither confirmed nor refuted"
