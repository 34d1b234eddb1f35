"""The report's page in a real browser: it sorts, its slider moves, nothing is fetched and nothing fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.browser import Browser, needs_browser
from helpers.run_directories import write_run

from gan_lightning.sweeps.report import report

pytestmark = [pytest.mark.slow, needs_browser]

SHOWN = "[...document.querySelectorAll('figure')].map((f) => f.querySelector('img:not([hidden])').dataset.images)"
FIRST = "document.querySelector('tbody tr td').innerText"


@pytest.fixture
def page(tmp_path: Path) -> str:
    for seed, (gan, lsgan) in enumerate([(5.0, 2.0), (5.5, 2.1)]):
        write_run(tmp_path / "sweep", "gan", seed, gan)
        write_run(tmp_path / "sweep", "lsgan", seed, lsgan)
    return report(tmp_path / "sweep").as_uri()


def test_the_page_sorts_and_slides_without_errors_and_requests(page: str, tmp_path: Path):
    with Browser(tmp_path / "profile") as browser:
        browser.open(page)
        assert browser.evaluate(FIRST) == "loss=lsgan"
        click = "document.querySelector('th[aria-sort] button').click()"
        browser.evaluate(click)  # from the best first to the worst first
        assert browser.evaluate(FIRST) == "loss=gan"
        browser.evaluate("document.querySelector('th button').click()")
        assert browser.evaluate(FIRST) == "loss=gan"
        browser.evaluate("document.querySelector('th button').click()")
        assert browser.evaluate(FIRST) == "loss=lsgan"
        assert browser.evaluate(SHOWN) == ["200", "200"]
        browser.evaluate(
            "{ const s = document.querySelector('input'); s.value = 0; s.dispatchEvent(new Event('input')); }"
        )
        assert browser.evaluate(SHOWN) == ["0", "0"]
        assert browser.evaluate("document.querySelector('output').innerText") == "0"
        assert not browser.errors
        assert all(request.startswith(("file:", "data:")) for request in browser.requests)


def test_the_page_fits_a_phone_and_follows_the_dark_mode(page: str, tmp_path: Path):
    with Browser(tmp_path / "profile") as browser:
        browser.open(page, width=390, height=844, phone=True)
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        colour = "getComputedStyle(document.querySelector('svg text')).fill"
        light = browser.evaluate(colour)
        browser.open(page, dark=True)
        assert (light, browser.evaluate(colour)) == ("rgb(0, 0, 0)", "rgb(255, 255, 255)")
