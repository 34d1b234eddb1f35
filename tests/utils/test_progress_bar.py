from __future__ import annotations

import io

import pytest
import rich
from rich.console import Console
from rich.progress import Progress

from gan_lightning.utils.progress_bar import track


def use_console(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> io.StringIO:
    """Let rich write to the returned page, as to a terminal or as to a file."""
    page = io.StringIO()
    console = Console(file=page, force_terminal=terminal, width=80, legacy_windows=False, color_system=None)
    monkeypatch.setattr(rich, "_console", console)
    return page


def test_a_terminal_shows_a_bar_and_takes_it_away(monkeypatch: pytest.MonkeyPatch):
    page = use_console(monkeypatch, terminal=True)
    items = track(iter("abc"), "counting", 3)
    assert next(items) == "a"
    assert "counting" in page.getvalue()
    assert list(items) == ["b", "c"]
    assert page.getvalue().endswith("\x1b[2K"), "the line of the bar is erased"


def test_without_a_terminal_nothing_is_shown_and_every_item_comes_through(monkeypatch: pytest.MonkeyPatch):
    page = use_console(monkeypatch, terminal=False)
    assert list(track(range(5), "counting")) == list(range(5))
    assert page.getvalue() == ""


def test_within_a_bar_it_is_one_more_line_also_where_the_work_fails(monkeypatch: pytest.MonkeyPatch):
    page = use_console(monkeypatch, terminal=True)
    with Progress(auto_refresh=False) as bar:
        bar.add_task("training", total=9)
        items = track(range(5), "evaluating")
        next(items)
        bar.refresh()
        before, shown = page.getvalue().rsplit("training", 1)
        assert "evaluating" in shown and before
        with pytest.raises(RuntimeError, match="failed"):
            items.throw(RuntimeError("the metric failed"))
        bar.refresh()
        assert "evaluating" not in page.getvalue().rsplit("training", 1)[1]


@pytest.mark.parametrize("words", ["Rendering a[/b].gif", "[red]x[/red]", "a\x1b[2Jb", "[link=http://x]y"])
def test_what_stands_before_the_bar_is_shown_as_it_is(words: str, monkeypatch: pytest.MonkeyPatch):
    page = use_console(monkeypatch, terminal=True)
    list(track(range(2), words))
    assert words.replace("\x1b", "\\x1b") in page.getvalue()
    assert "\x1b[2J" not in page.getvalue()
