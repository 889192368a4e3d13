"""report in a real Chromium: it loads, fits, filters and runs nobody else's script."""

from pathlib import Path
from typing import Any

import pytest

from mssr_rl.report.run_page import write

pytestmark = pytest.mark.slow

EVIL = "</pre></script><script>window.hacked=1</script><img src=x onerror='window.hacked=2'>"
WIDTH = "document.scrollingElement.scrollWidth"
SHOWN = "[...document.querySelectorAll('.card')].filter(c => c.checkVisibility())"


@pytest.fixture(scope="module")
def page(make_run: Any) -> Path:
    fields = ("key", "prompt", "answer", "extracted", "reason", "response", "split")
    texts = (EVIL, "\u202e" * 50, "W" * 1_000_000, "\ud800\x00\x1b")
    bad = [{"step": 24, "reward": 0, **dict.fromkeys(fields, text)} for text in texts]
    return write(make_run(samples=bad))


def test_the_page_loads_without_a_complaint_and_without_a_request(browser: Any, page: Path) -> None:
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(page)
    assert browser.run("document.title") == "mssr on vision_r1, seed 0"
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith("data:")] == [page.as_uri()]


def test_pictures_are_shown(browser: Any, page: Path) -> None:
    browser.open(page)
    eager = "document.querySelectorAll('img').forEach(i => i.loading = 'eager')"
    browser.run(eager)
    assert browser.run("document.querySelectorAll('.pictures img').length") == 24
    assert browser.run("document.querySelector('.pictures img').naturalWidth") == 64


def test_no_script_but_the_pages_own_runs(browser: Any, page: Path) -> None:
    browser.open(page)
    assert browser.run("typeof window.hacked") == "undefined"
    browser.run("document.body.insertAdjacentHTML('beforeend', '<i onclick=\"window.hacked=3\">')")
    browser.run("document.body.lastChild.click()")
    assert browser.run("typeof window.hacked") == "undefined"


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_screen(browser: Any, page: Path, width: int) -> None:
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.call("Emulation.setDeviceMetricsOverride", **screen)
    browser.open(page)
    assert browser.run(WIDTH) <= width
    browser.call("Emulation.clearDeviceMetricsOverride")


def test_the_filter_shows_what_it_says(browser: Any, page: Path) -> None:
    browser.open(page)
    assert browser.run("document.querySelector('output').value") == "28 of 28"
    browser.run("document.querySelector('input[value=right]').click()")
    assert browser.run(f"{SHOWN}.length") == 12
    assert browser.run(f"{SHOWN}.every(c => c.querySelector('.badge').textContent == 'right')")
    choose = "s => { s.value = '8'; s.dispatchEvent(new Event('change', {bubbles: true})) }"
    browser.run(f"({choose})(document.querySelector('select[name=step]'))")
    assert browser.run("document.querySelector('output').value") == "1 of 28"


def test_search_and_pages_work_by_keyboard(browser: Any, page: Path) -> None:
    browser.open(page)
    output, where = (
        "document.querySelector('output').value",
        "document.querySelector('.pages span')",
    )
    assert browser.run(f"{SHOWN}.length") == 24
    press(browser, "ArrowRight")
    assert browser.run(f"{where}.textContent") == "page 2 of 2"
    assert browser.run(f"{SHOWN}.length") == 4
    press(browser, "/")
    browser.call("Input.insertText", text="DICE-1-train-7")
    assert browser.run(output) == "1 of 28"
    assert browser.run(f"{SHOWN}[0].dataset.key") == "dice-1-train-7"
    press(browser, "Escape")
    press(browser, "j")
    assert browser.run("document.activeElement.dataset.key") == "dice-1-train-7"


def press(browser: Any, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        text = {"text": key} if kind == "keyDown" and len(key) == 1 else {}
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, **text)


def test_pointing_anywhere_at_a_chart_shows_the_value_there(browser: Any, page: Path) -> None:
    browser.open(page)
    browser.run("document.documentElement.style.scrollBehavior = 'auto'")
    browser.run("document.querySelector('.chart svg').scrollIntoView()")
    box = browser.run(
        "(b => [b.x, b.y, b.width, b.height])"
        "(document.querySelector('.chart svg').getBoundingClientRect())"
    )
    lit = "[...document.querySelectorAll('.at text')].filter(t => getComputedStyle(t).opacity == 1)"
    for share in (0.2, 0.41, 0.83):
        x, y = box[0] + share * box[2], box[1] + 0.5 * box[3]
        browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        assert browser.run(f"{lit}.length") == 1
        assert "greedy" in browser.run(f"{lit}[0].textContent")


def test_every_control_can_be_reached_by_keyboard(browser: Any, page: Path) -> None:
    browser.open(page)
    reached = set()
    for _ in range(20):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", windowsVirtualKeyCode=9)
        reached.add(browser.run("document.activeElement.tagName"))
    assert {"A", "SUMMARY", "INPUT", "SELECT"} <= reached


def test_dark_mode_is_dark_and_readable(browser: Any, page: Path) -> None:
    browser.open(page)
    colours = "(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))"
    light = browser.run(colours)
    scheme = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.call("Emulation.setEmulatedMedia", features=scheme)
    dark = browser.run(colours)
    browser.call("Emulation.setEmulatedMedia", features=[])
    assert brightness(light[0]) - brightness(light[1]) > 150
    assert brightness(dark[1]) - brightness(dark[0]) > 150


def brightness(colour: str) -> float:
    """Mean channel of an rgb(...) colour."""
    channels = [float(c) for c in colour.strip("rgba() ").split(",")[:3]]
    return sum(channels) / 3
