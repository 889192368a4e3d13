"""A small run folder as training writes it, and a real browser that opens its report."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Make = Callable[..., Path]
CONFIG = """\
algo: {name: mssr, gamma: 2.0, lam: 0.4}
env: {name: vision_r1, data: mini}
model: {path: tiny}
engine: {name: local, device: cpu}
train: {rollouts_per_step: 256, samples_per_update: 64, lr: 0.0001}
rollout: {group_size: null, temperature: 1.0}
budget: {rollouts: 6144}
recipe: laptop
seed: 0
"""
RUN = {
    "name": "demo",
    "status": "done",
    "exit_reason": "the budget is spent",
    "steps": 24,
    "versions": {"python": "3.11.9", "torch": "2.13.0"},
    "git": {"revision": "0123456789abcdef", "changed": False},
    "machine": {"cores": 2},
    "data": {"train": {"problems": 2048, "fingerprint": "9f8c2b7a"}},
}
SUMMARY = {
    "ledger": {
        "rollouts": 6144,
        "updates": 96,
        "seconds": 93.6,
        "seconds_by_phase": {"rollout": 50.4, "update": 31.2},
    },
    "stability": {"verdict": "stable", "events": []},
    "exit_reason": "the budget is spent",
}


def metrics_row(step: int) -> dict[str, Any]:
    return {
        "step": step,
        "reward/mean": 0.3 + 0.01 * step + 0.02 * (step % 3),
        "actor/entropy": 0.6 - 0.01 * step,
        "actor/kl_ref": 0.001 * step,
        "actor/kl_step": 0.002,
        "response_length/mean": 38.0 + step % 2,
        "tracker/mean": 0.35,
        "budget/rollouts": 256 * step,
        "timing_s/rollout": 2.1,
        "timing_s/update": 1.3,
        "timing_s/step": 3.9,
    }


def evaluation(step: int, split: str = "val", n: int = 50) -> dict[str, Any]:
    right = min(n, n // 3 + step // 2)
    level = {"n": n, "accuracy": right / n, "accuracy_sampled": right / n - 0.05}
    return {
        "step": step,
        "env": "vision_r1",
        "split": split,
        "n": n,
        "accuracy": right / n,
        "accuracy_sampled": right / n - 0.05,
        "samples": 4,
        "per_problem": {f"p{i}": int(i < right) for i in range(n)},
        "per_problem_sampled": {f"p{i}": 3 * int(i < right) for i in range(n)},
        "by_tag": {"family": {"clock": level, "dice": level}, "level": {"1": level}},
        "budget": {"rollouts": 256 * step},
    }


def sample(step: int, **more: Any) -> dict[str, Any]:
    right = step % 2 == 0
    usual = {
        "step": step,
        "split": "train",
        "key": f"dice-1-train-{step}",
        "tags": {"family": "dice", "level": "1"},
        "prompt": "<image>What is the sum of the dots on the dice?",
        "image": "samples/dice.png",
        "images": ["samples/dice.png"],
        "answer": "7",
        "response": f"<think>3 and 4 make 7.</think>It is \\boxed{{{7 if right else 6}}}.",
        "extracted": "7" if right else "6",
        "reward": float(right),
        "reason": "correct" if right else "wrong",
    }
    return {**usual, **more}


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Return a function that writes a finished run of `steps` steps, with one sample for each step.

    `samples` are added to these.
    """

    def make(steps: int = 24, samples: list[dict[str, Any]] | None = None) -> Path:
        folder = tmp_path_factory.mktemp("runs") / "demo"
        (folder / "samples").mkdir(parents=True)
        Image.new("RGB", (64, 64), "#336699").save(folder / "samples/dice.png")
        (folder / "config.yaml").write_text(CONFIG)
        (folder / "run.json").write_text(json.dumps(RUN))
        (folder / "summary.json").write_text(json.dumps(SUMMARY))
        every = range(1, steps + 1)
        write_lines(folder / "metrics.jsonl", [metrics_row(step) for step in every])
        evaluations = [evaluation(step) for step in range(0, steps + 1, 6)]
        write_lines(folder / "eval.jsonl", [*evaluations, evaluation(steps, "test", 80)])
        write_lines(folder / "samples.jsonl", [sample(step) for step in every] + (samples or []))
        return folder

    return make


FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-pipe",
)


PATIENCE = 60.0  # [s]; a busy machine can be slow


class Browser:
    """Chromium without a window, driven over a pipe.

    It keeps every error message and every request.
    """

    def __init__(self, program: str, profile: Path) -> None:
        to_read, to_write = os.pipe(), os.pipe()
        # bash moves the two ends to the descriptors that the browser expects, 3 and 4
        theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (to_read[0], to_write[1])]
        plumbing = f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]}'
        self._process = subprocess.Popen(
            ["bash", "-c", plumbing, "bash", program, *FLAGS, f"--user-data-dir={profile}"],
            pass_fds=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for fd in (to_read[0], to_write[1], *theirs):
            os.close(fd)
        self._out = os.fdopen(to_read[1], "wb", buffering=0)
        self._in, self._heard = to_write[0], b""
        self._count = 0
        self._session: str | None = None
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._attach()

    def _attach(self) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """Send one command of the DevTools protocol and return its answer."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            said = self._hear()
            if said.get("id") == self._count:
                assert "error" not in said, said
                return said["result"]

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._heard:
            ready, _, _ = select.select([self._in], [], [], PATIENCE)
            part = os.read(self._in, 1 << 16) if ready else b""
            assert part, "the browser went away or fell silent"
            self._heard += part
        raw, _, self._heard = self._heard.partition(b"\0")
        said: dict[str, Any] = json.loads(raw)
        method, params = said.get("method"), said.get("params", {})
        if method in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.complaints.append(json.dumps(params))
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        return said

    def open(self, page: Path) -> None:
        """Load a file and wait until it is complete."""
        self.visit(page.as_uri())

    def visit(self, url: str) -> None:
        """Load an address and wait until it is complete."""
        self.call("Page.navigate", url=url)
        scheme = url.partition(":")[0]
        self.wait(f"document.readyState == 'complete' && location.protocol == '{scheme}:'")

    def wait(self, condition: str) -> None:
        """Wait until an expression on the page is true."""
        deadline = time.monotonic() + PATIENCE
        while not self.run(condition):
            assert time.monotonic() < deadline, f"it never became true: {condition}"
            time.sleep(0.02)

    def run(self, script: str) -> Any:
        """Return the value of an expression on the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def close(self) -> None:
        """End this browser, and no other."""
        self._session = None
        try:
            self.call("Browser.close")
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
            self._out.close()
            os.close(self._in)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Start one Chromium for all tests. Tests are skipped if none is installed."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    program = next((path for name in names if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser is installed (looked for {', '.join(names)})")
    chromium = Browser(program, tmp_path_factory.mktemp("profile"))
    yield chromium
    chromium.close()
