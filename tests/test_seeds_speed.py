"""Many seeds as one program beside one run after another: the quick form, and the ratio that it shows."""

from __future__ import annotations

import pytest

from benchmarks import seeds_speed


def test_the_quick_form_measures_both(capsys: pytest.CaptureFixture[str]) -> None:
    seeds_speed.main(["--quick"])
    shown = capsys.readouterr().out
    assert "seeds=4" in shown and "50 iterations" in shown


def test_the_ratio_is_of_games_in_the_same_time() -> None:
    table = seeds_speed.table_of({seeds_speed.ONE: [2.0, 4.0, 5.0], "seeds=8": [12.0, 20.0, 40.0]}, 100)
    assert list(table.columns[2].cells) == ["", "6.0 (5.0 to 8.0)"]
