"""A comparison's report in a real Chromium: it loads, fits, filters, and runs nobody's script."""

from pathlib import Path
from typing import Any

import pytest

from mssr_rl.comparison.comparison_page import write

pytestmark = pytest.mark.slow

SHOWN = "[...document.querySelectorAll('.scene')].filter(c => c.checkVisibility())"
OUTPUT = "document.querySelector('.theatre output').value"
WIDTH = "document.scrollingElement.scrollWidth"
ARMS = {"grpo": 0.5, "mssr": 0.7, "rloo": 0.5, "mvsr": 0.4, "reinforce_pp": 0.55}


@pytest.fixture(scope="module")
def page(make_comparison: Any) -> Path:
    return write(make_comparison(ARMS)).page


def choose(browser: Any, name: str, value: str) -> None:
    browser.run(
        "((n, v) => { const s = document.querySelector(`.theatre select[name=${n}]`); s.value = v;"
        f"s.dispatchEvent(new Event('change', {{bubbles: true}})) }})('{name}', '{value}')"
    )


def test_it_opens_from_disk_without_a_complaint_or_a_request(browser: Any, page: Path) -> None:
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(page)
    assert "compared" in browser.run("document.title")
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith("data:")] == [page.as_uri()]
    assert browser.run("window.hacked") is None
    assert page.stat().st_size < 15_000_000


def test_it_fits_a_desk_and_a_telephone(browser: Any, page: Path) -> None:
    for width in (1280, 390):
        browser.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1,
            mobile=width < 500,
        )  # fmt: skip
        browser.open(page)
        assert browser.run(WIDTH) <= width
    browser.call("Emulation.clearDeviceMetricsOverride")


def test_the_theatre_filters_by_who_was_right_and_who_was_wrong(browser: Any, page: Path) -> None:
    browser.open(page)
    assert browser.run(OUTPUT) == "48 of 48 problems"
    assert browser.run(f"{SHOWN}.length") == 12  # a page
    choose(browser, "right", "0")
    choose(browser, "wrong", "4")
    found = int(browser.run(OUTPUT).split()[0])
    assert 0 < found < 48
    outcomes = browser.run(f"{SHOWN}.map(s => s.dataset.outcome)")
    assert all(outcome[0] == "r" and outcome[4] == "w" for outcome in outcomes)
    badges = f"{SHOWN}[0].querySelectorAll('.answered .badge')"
    assert browser.run(f"{badges}[0].textContent") == "right"
    choose(browser, "agree", "same")
    assert browser.run(OUTPUT).startswith("0 of 48")


def test_the_theatre_turns_its_pages_with_keys_and_buttons(browser: Any, page: Path) -> None:
    browser.open(page)
    first = browser.run(f"{SHOWN}[0].textContent")
    browser.run("document.querySelectorAll('.pages button')[1].click()")
    second = browser.run(f"{SHOWN}[0].textContent")
    assert first != second
    assert browser.run("document.querySelector('.where-in').textContent") == "page 2 of 4"
    key = "new KeyboardEvent('keydown', {key: 'ArrowLeft', bubbles: true})"
    browser.run(f"document.querySelector('.theatre .cards').dispatchEvent({key})")
    assert browser.run(f"{SHOWN}[0].textContent") == first


def test_curves_can_be_drawn_over_any_currency(browser: Any, page: Path) -> None:
    browser.open(page)
    panes = "[...document.querySelectorAll('[data-axis]')].filter(p => !p.hidden)"
    assert browser.run(f"{panes}.map(p => p.dataset.axis)") == ["rollouts"]
    for axis in ("prompts", "updates", "generated_tokens", "trained_tokens", "seconds"):
        browser.run(f"document.querySelector('.tabs input[value={axis}]').click()")
        assert browser.run(f"{panes}.map(p => p.dataset.axis)") == [axis]
        assert browser.run(f"{panes}[0].querySelectorAll('svg').length") == 3
