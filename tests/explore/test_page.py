"""The explorer's page in a real browser, where gradio is installed: it draws, nothing is fetched and nothing fails."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.browser import Browser, needs_browser
from helpers.sampled_runs import SMALL, run
from PIL import Image

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
gr = pytest.importorskip("gradio")

from gan_lightning.cli.explore import main  # noqa: E402
from gan_lightning.explore.page import CSS, THEME, choice_of, explorer  # noqa: E402
from gan_lightning.explore.samples import Choice, load_checkpoints  # noqa: E402


def served(*runs: Path) -> Iterator[str]:
    page = explorer([(folder.name, load_checkpoints(str(folder))) for folder in runs])
    _, address, _ = page.launch(
        server_name="127.0.0.1", theme=THEME, css=CSS, prevent_thread_lock=True, quiet=True, ssr_mode=False
    )
    yield address
    page.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = run(tmp_path_factory.mktemp("run"), *SMALL, "data=shapes", "data.train_size=64", "prior=labelled_onehot")
    yield from served(folder, folder)


@pytest.fixture(scope="module")
def different(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of a run with codes, and of one whose images stay on the disk."""
    folder, pixels = (
        tmp_path_factory.mktemp("runs"),
        np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8),
    )
    (folder / "photos").mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / "photos" / f"{number}.png")
    coded = run(folder / "coded", *SMALL, "data=shapes", "data.train_size=64", "variant=infogan")
    photos = ("data=image_folder", f"data.root={folder / 'photos'}", "data.in_memory=false", "data.num_workers=0")
    yield from served(coded, run(folder / "photos-run", *SMALL, *photos, "data.image_size=16", "data.batch_size=4"))


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


SHOWN = "[...document.querySelectorAll('#run{}-samples img')].map((image) => image.src)"
"""The addresses of the samples of a run by its number; none while they are drawn."""


def type_value(browser: Browser, key: str, value: float) -> None:
    """Type a value into the field beside a slider."""
    field = f"document.querySelector('#{key} input[type=number]')"
    setter = "Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set"
    browser.evaluate(f"{setter}.call({field}, {value})")
    for event in ("input", "change", "blur"):
        browser.evaluate(f"{field}.dispatchEvent(new Event('{event}', {{bubbles: true}}))")


def changes(browser: Browser, action: Callable[[], object], *runs: int) -> None:
    """Wait until `action` has changed the samples of `runs`, by default of the first."""
    before = {number: browser.evaluate(SHOWN.format(number))[0] for number in runs or (0,)}
    action()
    for number, source in before.items():
        shown = SHOWN.format(number)
        browser.wait(f"{shown}.length === 24 && {shown}[0] !== {json.dumps(source)}")


@pytest.mark.slow
@needs_browser
def test_a_button_and_truncation_change_the_samples_of_both_runs_without_errors_and_foreign_requests(
    address: str, tmp_path: Path
):
    with Browser(tmp_path / "profile") as browser:
        browser.open(address, width=1400)
        count = "document.querySelectorAll('#{} img').length"
        for number in (0, 1):
            browser.wait(f"{count.format(f'run{number}-samples')} === 24")
        changes(browser, lambda: browser.evaluate("document.querySelector('#resample').click()"), 0, 1)
        changes(browser, lambda: type_value(browser, "truncation", 0.2), 0, 1)
        browser.evaluate("document.querySelector('#run0-start').click()")
        browser.wait(f"{count.format('run0-between')} === 8")
        browser.evaluate("document.querySelector('#run0-nearest').click()")
        browser.wait(f"{count.format('run0-neighbours')} === 7")
        assert not browser.errors
        assert all(request.startswith((address, "data:", "blob:")) for request in browser.requests)


@pytest.mark.slow
@needs_browser
def test_codes_change_samples_and_images_on_the_disk_are_compared_too(different: str, tmp_path: Path):
    with Browser(tmp_path / "profile") as browser:
        browser.open(different, width=1400)
        browser.wait(f"{SHOWN.format(0)}.length === 24 && {SHOWN.format(1)}.length === 24")
        changes(browser, lambda: browser.evaluate("document.querySelector('#run0-choose input').click()"))
        changes(browser, lambda: type_value(browser, "run0-code0", 1.5))
        browser.evaluate("document.querySelector('#run1-nearest').click()")
        browser.wait("document.querySelectorAll('#run1-neighbours img').length === 7")
        assert not browser.errors
