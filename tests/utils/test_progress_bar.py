from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from gan_lightning.game import Batch
from gan_lightning.utils import progress_bar as waiting
from gan_lightning.utils.progress_bar import watched


def page(terminal: bool = True) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=80, legacy_windows=False, color_system=None)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class Clock:
    """Each batch takes so many seconds."""

    def __init__(self, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.seconds = 0.0, seconds
        monkeypatch.setattr(waiting.time, "monotonic", lambda: self.now)

    def batches(self, count: int = 10) -> Iterator[Batch]:
        for _ in range(count):
            self.now += self.seconds
            yield torch.zeros(50, 1), None


@pytest.mark.parametrize(
    ("seconds", "terminal", "expected"), [(2.0, True, True), (0.3, True, False), (2.0, False, False)]
)
def test_long_work_in_a_terminal_has_a_bar(
    seconds: float, terminal: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
):
    console, clock = page(terminal), Clock(seconds, monkeypatch)
    assert len(list(watched(clock.batches(), "judging", 500, console=console))) == 10
    assert ("judging" in shown(console)) is expected
    assert ("250/500" in shown(console)) is expected


def test_it_gets_a_line_in_a_bar_that_is_there_and_takes_it_away(monkeypatch: pytest.MonkeyPatch):
    console, clock = page(), Clock(2.0, monkeypatch)
    columns = TextColumn("{task.fields[count]}"), BarColumn(None), TextColumn("{task.fields[state]}")
    with Progress(*columns, console=console, auto_refresh=False) as bar:
        bar.add_task("", total=9, completed=3, count="3/9", state="training")
        batches = watched(clock.batches(), "judging", 500, bar)
        for _ in range(3):
            next(batches)
        assert len(bar.tasks) == 2
        with pytest.raises(RuntimeError):
            batches.throw(RuntimeError("the metric failed"))  # type: ignore[attr-defined]
        assert [task.fields["state"] for task in bar.tasks] == ["training"]
    assert "judging" in shown(console) and "training" in shown(console)
