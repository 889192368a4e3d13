"""`view` in a real Chromium, over a real run that trains beside it."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

PATIENCE = 120.0  # [s]; a busy machine can be slow
REWARD = "document.querySelectorAll('#curves .charts.two .chart')[1]"
POINTS = f"({REWARD}?.querySelectorAll('.at').length ?? 0)"
TRAIN = (
    *("algo=mssr", "env=vision_r1", "name=live", "budget.rollouts=32000", "engine.threads=1"),
    *("train.rollouts_per_step=32", "train.samples_per_update=32", "checkpoint.every=0"),
    *("eval.every=0", "eval.limit=4", "eval.samples=1", "view=true"),
)


class Beside:
    """A run with view=true in a process of its own."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "mssr_rl", "train", *TRAIN, f"runs_dir={folder}"]
        self.log = folder.parent / "train.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, cwd=Path.cwd())

    def address(self) -> str:
        deadline = time.monotonic() + PATIENCE
        while not (said := re.search(r"http://127\.0\.0\.1:\d+/", self.log.read_text())):
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)
        return said.group().rstrip("/")


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory, make_run: Any) -> Iterator[Beside]:
    folder = tmp_path_factory.mktemp("beside") / "runs"
    folder.mkdir()
    shutil.copytree(make_run(), folder / "first")
    beside = Beside(folder)
    yield beside
    beside.process.terminate()
    beside.process.wait(PATIENCE)


def test_a_curve_grows_while_a_run_trains_and_the_page_ends_with_the_run(
    browser: Any, training: Beside
) -> None:
    address = training.address()
    browser.complaints.clear()
    browser.requests.clear()
    browser.visit(f"{address}/")
    browser.wait("document.querySelector('tr th a[href$=\"/live\"]') !== null")
    browser.run("document.querySelector('tr th a[href$=\"/live\"]').click()")
    browser.wait(f"location.pathname == '/run/runs/live' && {POINTS} >= 1")
    before = browser.run(POINTS)
    browser.run("window.stays = 1")
    browser.wait(f"{POINTS} > {before}")
    browser.wait("document.querySelectorAll('#rollouts .card').length > 0")
    assert browser.run("document.querySelector('#rollouts .card .pictures img') !== null")
    assert browser.run("document.querySelector('#rollouts .card .badge').textContent.length") > 0
    assert browser.run("window.stays") == 1  # the page was not loaded again
    assert browser.complaints == []
    assert [u for u in browser.requests if not u.startswith((address, "data:"))] == []
    training.process.terminate()  # long before its end; it saves and says so
    assert training.process.wait(PATIENCE) == 0
    assert "view    ended with the run" in training.log.read_text()
    browser.wait("document.getElementById('pulse').textContent == 'not connected'")


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory,
    serve: Callable[..., Any],
    make_run: Any,
    make_comparison: Any,
) -> Any:
    root = tmp_path_factory.mktemp("shown") / "runs"
    root.mkdir()
    evil = "<img src=x onerror='window.hacked=2'><script>window.hacked=1</script>"
    shutil.copytree(make_run(samples=[{"step": 30, "response": evil}]), root / "first")
    shutil.copytree(root / "first", root / "second")
    shutil.copytree(make_comparison({"grpo": 0.5, "mssr": 0.7}, seeds=2), root / "both")
    return serve(root)


def press(browser: Any, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        text = {"text": key} if kind == "keyDown" and len(key) == 1 else {}
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, **text)


def test_search_filter_and_pages_are_in_the_address(browser: Any, client: Any) -> None:
    browser.visit(f"{client.address}/rollouts/runs/first")
    press(browser, "ArrowRight")
    browser.wait("location.search == '?page=2' && document.readyState == 'complete'")
    choose = "s => { s.value = 'right'; s.dispatchEvent(new Event('change', {bubbles: true})) }"
    browser.run(f"({choose})(document.querySelector('select[name=verdict]'))")
    browser.wait("location.search == '?verdict=right' && document.readyState == 'complete'")
    assert browser.run("document.querySelector('output').textContent") == "12 of 25"
    press(browser, "/")
    assert browser.run("document.activeElement.name") == "text"
    browser.call("Input.insertText", text="train-8")
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", text="\r")
    browser.wait("location.search.includes('text=train-8') && document.readyState == 'complete'")
    assert browser.run("document.querySelector('output').textContent") == "1 of 25"
    assert browser.run("[...document.querySelectorAll('.card')].length") == 1


def test_two_runs_are_chosen_by_hand_and_a_run_is_opened_by_keyboard(
    browser: Any, client: Any
) -> None:
    browser.visit(f"{client.address}/")
    assert browser.run("document.querySelector('.picker button').disabled")
    for name in ("first", "second"):
        browser.run(f"document.querySelector('input[value=\"runs/{name}\"]').click()")
    browser.run("document.querySelector('.picker button').click()")
    browser.wait("location.pathname == '/pair' && document.readyState == 'complete'")
    assert browser.run("document.querySelectorAll('.chart').length") > 5
    assert browser.run("document.querySelectorAll('.chart svg .line').length") > 8
    browser.visit(f"{client.address}/?q=first")
    press(browser, "j")
    assert browser.run("document.activeElement.getAttribute('href')") == "/run/runs/first"
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


PAGES = ("/", "/run/runs/first", "/rollouts/runs/first", "/pair?run=runs/first&run=runs/second",
         "/comparison/runs/both")  # fmt: skip


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_every_page_fits_the_screen_without_a_complaint_or_a_foreign_script(
    browser: Any, client: Any, width: int
) -> None:
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.call("Emulation.setDeviceMetricsOverride", **screen)
    browser.complaints.clear()
    browser.requests.clear()
    for path in PAGES:
        browser.visit(client.address + path)
        assert browser.run("document.scrollingElement.scrollWidth") <= width, path
        assert browser.run("typeof window.hacked") == "undefined"
    browser.call("Emulation.clearDeviceMetricsOverride")
    assert browser.complaints == []
    foreign = [u for u in browser.requests if not u.startswith((client.address, "data:"))]
    assert foreign == []


def test_every_page_can_be_read_without_script(browser: Any, client: Any) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        for path in PAGES:
            browser.visit(client.address + path)
            assert browser.run("document.querySelector('main').textContent.length") > 300
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_ctrl_c_ends_the_server_at_once_and_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    # A shell may have set SIGINT to be ignored; the server's process starts with Python's handler.
    script = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from mssr_rl.cli import main; sys.exit(main(['view', 'runs_dir=runs']))"
    )
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    server = subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, cwd=tmp_path, env=here, text=True
    )
    assert server.stderr is not None
    assert "http://127.0.0.1:" in server.stderr.readline()
    time.sleep(0.5)
    server.send_signal(2)
    assert server.wait(PATIENCE) == 0
    assert server.stderr.read() == ""
