"""The report on the ring and the grid: the quick form, and what a row says."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import mixtures
from benchmarks.mixtures import METHODS, Cell
from gan_lightning import compose


def made_cell(directory: Path, mixture: str, *rows: tuple[float, float, float]) -> Cell:
    """A cell whose seeds ended with these modes, shares of high quality and reverse KLs, and had others before."""
    keys = ("val/modes", "val/high_quality", "val/reverse_kl", "val/sigma_ratio")
    with (directory / "metrics.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["iteration", "seed", *keys])
        table.writerows([[50, seed, 1, 0.0, 2.0, 0.5] for seed in range(len(rows))])
        table.writerows([[100, seed, *row, 1.0] for seed, row in enumerate(rows)])
    return Cell(mixture, "experiment", directory)


def test_the_quick_form_leaves_a_table_and_a_picture_and_keeps_what_has_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = ["--quick", "--runs", str(tmp_path / "runs"), "--results", str(tmp_path)]
    mixtures.main(typed)
    text = (tmp_path / "mixtures.md").read_text()
    assert text.count("\n| ring | experiment | ") == 1
    with Image.open(tmp_path / "mixtures.png") as picture:
        assert picture.width > 500
    monkeypatch.setattr(Cell, "train", lambda *_: pytest.fail("it has finished"))
    mixtures.main(typed)
    mixtures.main([*typed, "--no-train"])
    assert (tmp_path / "mixtures.md").read_text() == text


def test_a_row_is_of_the_last_numbers_and_counts_the_seeds_that_reach_the_goal(tmp_path: Path) -> None:
    seeds = ((8, 0.97, 0.03), (8, 0.96, 0.0), (7, 0.99, 0.01), (8, 0.98, 0.04))
    ring = made_cell(tmp_path, "ring", *seeds)
    assert ring.reached == 1
    assert ring.line == "| ring | experiment | 7.8 ± 0.5 | 0.975 ± 0.013 | 0.020 ± 0.018 | 1.00 ± 0.00 | 1/4 |"
    assert made_cell(tmp_path, "grid", (25, 0.94, 0.05), (24, 0.99, 0.0)).reached == 1


@pytest.mark.parametrize("mixture", mixtures.MIXTURES)
@pytest.mark.parametrize("method", METHODS)
def test_methods_differ_in_the_game_alone(mixture: str, method: str) -> None:
    own, base = compose([f"experiment={mixture}", *METHODS[method]]), compose([f"experiment={mixture}"])
    assert own.optimizer == base.optimizer and own.schedule == base.schedule and own.data == base.data
    assert (own.loss == base.loss) == (method == "experiment")


@pytest.mark.parametrize(
    ("typed", "message"), [(["--only", "squares"], "no mixture or method squares"), (["--no-train"], "no finished run")]
)
def test_what_is_not_there_is_said(
    tmp_path: Path, typed: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        mixtures.main([*typed, "--runs", str(tmp_path)])
    assert message in capsys.readouterr().err
