from __future__ import annotations

import io
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tiny_gan import play, tiny_gan
from lightning import Callback, Trainer
from rich.console import Console
from torch import Tensor

from gan_lightning.callbacks import progress
from gan_lightning.callbacks.progress import Progress, Speed, losses_by_player


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)


def page(terminal: bool = False, width: int = 100) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=width, legacy_windows=False, color_system=None)


def written(console: Console) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", raw(console))


def raw(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.usefixtures("every_step")
def test_a_log_file_gets_ten_lines_with_everything():
    console, gan = page(), tiny_gan(max_iterations=200)
    gan.metrics["val/fid"] = 23.456789
    play(gan, callbacks=[Progress("val/fid", console)])
    lines = written(console).splitlines()
    assert [line.split()[0] for line in lines] == [f"{count}/200" for count in range(20, 201, 20)]
    for line in lines:
        assert re.fullmatch(r"\d+/200  0:\d\d:\d\d left  \d+ images/s  D \d+\.\d\d  G \d+\.\d\d  fid 23\.46", line), (
            line
        )
    assert f"D {gan.losses['discriminator/adversarial']:.2f}" in lines[-1]
    assert f"G {gan.losses['generator/adversarial']:.2f}" in lines[-1]


@pytest.mark.usefixtures("every_step")
def test_a_resumed_run_starts_where_it_was(tmp_path: Path):
    play(tiny_gan(max_iterations=50)).save_checkpoint(tmp_path / "half.ckpt")
    console = page()
    play(tiny_gan(max_iterations=100), callbacks=[Progress(None, console)], ckpt_path=tmp_path / "half.ckpt")
    counts = [line.split()[0] for line in written(console).splitlines()]
    assert counts == ["60/100", "70/100", "80/100", "90/100", "100/100"]


def test_a_slow_run_says_early_how_long_it_will_take():
    console, gan = page(), tiny_gan(max_iterations=1000)
    bar = Progress(None, console)
    started = time.monotonic()
    bar.on_train_start(Trainer(logger=False, accelerator="cpu"), gan)
    gan.state.iterations, gan.state.images = 11, 88
    bar.show(gan, started + 5)
    assert written(console) == ""
    for seconds in (11, 12, 13):
        bar.show(gan, started + seconds)
    (line,) = written(console).splitlines()
    # On a loaded machine the bar starts up to a second after the clock above.
    assert re.fullmatch(r"11/1000  0:1[56]:\d\d left  [89] images/s", line)


@pytest.mark.usefixtures("every_step")
def test_a_terminal_gets_a_bar():
    console = page(terminal=True)
    bar = Progress("val/fid", console)
    play(tiny_gan(max_iterations=30), callbacks=[bar])
    last = written(console).rstrip().splitlines()[-1]
    assert last.startswith("30/30 ━━━━") and "images/s  D " in last
    # The cursor is there again.
    assert raw(console).count("\x1b[?25l") == raw(console).count("\x1b[?25h") == 1


@pytest.mark.usefixtures("every_step")
@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_terminal_gets_one_line(width: int):
    console, gan = page(terminal=True, width=width), tiny_gan(max_iterations=5)
    gan.metrics["val/wasserstein1"] = 0.01234
    play(gan, callbacks=[Progress("val/wasserstein1", console)])
    lines = re.split(r"[\r\n]+", written(console).strip())
    assert all(line.startswith(("0/", "1/", "2/", "3/", "4/", "5/")) and len(line) <= width for line in lines), lines
    assert ("wasserstein1 0.01234" in lines[-1]) == (width == 80)


class Fails(Callback):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *rest: Any) -> None:
        if pl_module.iterations == 3:
            raise self.error


@pytest.mark.usefixtures("every_step")
def test_the_bar_stops_before_an_error_is_printed():
    console = page(terminal=True)
    bar = Progress(None, console)
    with pytest.raises(RuntimeError, match="out of paper"):
        play(tiny_gan(max_iterations=30), callbacks=[bar, Fails(RuntimeError("out of paper"))])
    assert raw(console).count("\x1b[?25h") == 1
    before = written(console)
    bar.on_train_batch_end(Trainer(logger=False, accelerator="cpu"), tiny_gan(), None, None, 0)
    assert written(console) == before


def test_losses_are_fetched_at_most_four_times_a_second(monkeypatch: pytest.MonkeyPatch):
    times: Iterator[float] = iter(step * 0.01 for step in range(10**6))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    fetched = Counter[str]()

    def count(losses: dict[str, Tensor]) -> dict[str, float]:
        fetched["times"] += 1
        return losses_by_player(losses)

    monkeypatch.setattr(progress, "losses_by_player", count)
    play(tiny_gan(max_iterations=300), callbacks=[Progress(None, page(terminal=True))])
    assert 10 <= fetched["times"] <= 300 * 0.01 * 4 + 3


def test_only_the_first_rank_shows_anything(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Trainer, "is_global_zero", property(lambda trainer: False))
    for terminal in (False, True):
        console = page(terminal)
        play(tiny_gan(max_iterations=30), callbacks=[Progress(None, console)])
        assert written(console) == ""


def test_speed_is_that_of_the_window():
    speed = Speed(window_seconds=10.0)
    speed.observe(100.0, iterations=5, images=50)
    assert speed.per_second() == (0.0, 0.0)
    for second in range(1, 21):  # 2 iterations a second for 20 s, then 7
        speed.observe(100.0 + second, 5 + 2 * second, 50 + 20 * second)
    assert speed.per_second() == (2.0, 20.0)
    for second in range(1, 16):
        speed.observe(120.0 + second, 45 + 7 * second, 450 + 70 * second)
    assert speed.per_second() == (7.0, 70.0)


def test_a_pause_longer_than_the_window_counts():
    """Such as an evaluation: then two moments are all that is known."""
    speed = Speed(window_seconds=10.0)
    speed.observe(0.0, 0, 0)
    speed.observe(1.0, 100, 1000)
    speed.observe(41.0, 110, 1100)
    assert speed.per_second() == (10 / 40, 100 / 40)


def test_a_players_terms_are_added_up():
    losses = {"generator/adversarial": 0.5, "discriminator/r1": 0.25, "discriminator/adversarial": 1.0}
    found = losses_by_player({name: torch.tensor(value) for name, value in losses.items()})
    assert list(found.items()) == [("discriminator", 1.25), ("generator", 0.5)]
    assert losses_by_player({}) == {}
