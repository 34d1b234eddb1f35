"""The explorer's page in a real browser, where gradio is installed: it draws, nothing is fetched and nothing fails."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.browser import Browser, needs_browser
from helpers.sampled_runs import SMALL, run

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
gr = pytest.importorskip("gradio")

from gan_lightning.cli.explore import main  # noqa: E402
from gan_lightning.explore.page import CSS, THEME, choice_of, explorer  # noqa: E402
from gan_lightning.explore.samples import Choice, load_checkpoints  # noqa: E402


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = run(tmp_path_factory.mktemp("run"), *SMALL, "data=shapes", "data.train_size=64", "prior=labelled_onehot")
    checkpoints = load_checkpoints(str(folder))
    page = explorer([("first", checkpoints), ("second", checkpoints)])
    _, address, _ = page.launch(
        server_name="127.0.0.1", theme=THEME, css=CSS, prevent_thread_lock=True, quiet=True, ssr_mode=False
    )
    yield address
    page.close()


def test_the_controls_become_a_choice():
    words = {"circle": 0, "square": 1}
    assert choice_of([3, 8, 4.0, "averaged", "any", False], words) == Choice(seed=3, count=8)
    chosen = choice_of([3, 8, 0.5, "raw", "square", True, 0.1, -1.0], words)
    assert chosen == Choice(3, 8, truncation=0.5, label=1, codes=(0.1, -1.0), averaged=False)


class Page:
    """A page that notes how it is served."""

    def __init__(self) -> None:
        self.served: dict[str, Any] = {}

    def launch(self, **options: Any) -> tuple[None, str, None]:
        self.served = options
        return None, "http://127.0.0.1:7860/", None

    def block_thread(self) -> None:
        pass


@pytest.mark.parametrize(
    ("options", "host", "share"), [([], "127.0.0.1", False), (["--host", "0.0.0.0", "--share"], "0.0.0.0", True)]
)
def test_the_page_is_served_to_this_machine_alone_unless_it_is_typed(
    options: list[str], host: str, share: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    page = Page()
    monkeypatch.setattr("gan_lightning.explore.samples.load_checkpoints", lambda *arguments: [])
    monkeypatch.setattr("gan_lightning.explore.samples.run_name", str)
    monkeypatch.setattr("gan_lightning.explore.page.explorer", lambda runs: page)
    main(["run", *options])
    assert (page.served["server_name"], page.served["share"]) == (host, share)
    assert "http://127.0.0.1:7860/" in capsys.readouterr().out


@pytest.mark.slow
@needs_browser
def test_a_button_changes_the_samples_of_both_runs_without_errors_and_foreign_requests(address: str, tmp_path: Path):
    with Browser(tmp_path / "profile") as browser:
        browser.open(address, width=1400)
        count = "document.querySelectorAll('#{} img').length"
        for number in (0, 1):
            browser.wait(f"{count.format(f'run{number}-samples')} === 24")
        source = "document.querySelector('#run1-samples img')?.src"
        before = browser.evaluate(source)
        browser.evaluate("document.querySelector('#resample').click()")
        browser.wait(f"({source} ?? {json.dumps(before)}) !== {json.dumps(before)}")  # none while it is drawn
        browser.evaluate("document.querySelector('#run0-start').click()")
        browser.wait(f"{count.format('run0-between')} === 8")
        browser.evaluate("document.querySelector('#run0-nearest').click()")
        browser.wait(f"{count.format('run0-neighbours')} === 7")
        assert not browser.errors
        assert all(request.startswith((address, "data:", "blob:")) for request in browser.requests)
