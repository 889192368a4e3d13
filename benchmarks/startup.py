"""From the command to the first training step: what a second start takes, caches warm.

    python -m benchmarks startup

Starts `python -m mssr_rl train` with the laptop recipe as a process, as somebody at a terminal
does, and notes when its lines come: what is used, the first evaluation, step 1. A run before those
that count has compiled the modules, drawn the problems and filled the disk's cache. Every run ends
after step 1. Wall seconds since the command, medians over starts. --short evaluates 16 problems
instead of the recipe's 512.
"""

import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.command import Parser, Report, positive, say
from benchmarks.peers import outside
from benchmarks.table import table
from mssr_rl.config.compose import load
from mssr_rl.errors import RunFailed

# How the line begins that says so; in the order in which they come.
MILESTONES: Mapping[str, str] = {
    "everything is loaded": "algo ",
    "first evaluation": "val at step 0",
    "first step": "step 1 ",
}
IMPORTED = "import mssr_rl"


class Start(NamedTuple):
    """Seconds since the command, of each milestone."""

    seconds: Mapping[str, float]


def parser() -> Parser:
    """The words it takes."""
    found = Parser("startup", __doc__)
    found.add_argument("--starts", type=positive, default=5, help="that count")
    found.add_argument("--algo", default="mssr", help="the arm that is started")
    return found


def measured(given: Namespace) -> Report:
    """A start that is forgotten, and those that count."""
    load([f"algo={given.algo}"])  # refuses an unknown one here
    words = [f"algo={given.algo}", *(["eval.limit=16"] if given.short else [])]
    starts = []
    for number in range((1 if given.short else given.starts) + 1):
        starts.append(start(words))
        say(f"start {number}: step 1 after {starts[-1].seconds['first step']:.1f} s")
    return Report(_text(starts[1:]), [dict(one.seconds) for one in starts[1:]])


def start(words: Sequence[str]) -> Start:
    """One run, up to its first step."""
    with tempfile.TemporaryDirectory() as folder:
        imported = _until_end([sys.executable, "-c", IMPORTED])
        command = [sys.executable, "-m", "mssr_rl", "train", *words, f"runs_dir={folder}"]
        return Start({IMPORTED: imported, **_milestones(command, Path(folder))})


def _until_end(command: Sequence[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, env=outside(), check=True)
    return time.perf_counter() - begun


def _milestones(command: Sequence[str], folder: Path) -> dict[str, float]:
    begun, found = time.perf_counter(), dict[str, float]()
    with (folder / "errors").open("w+") as log, _started(command) as process:
        assert process.stderr
        for line in process.stderr:
            log.write(line)
            for name, words in MILESTONES.items():
                if line.startswith(words):
                    found.setdefault(name, time.perf_counter() - begun)
            if len(found) == len(MILESTONES):
                break
        process.kill()
    missing = [name for name in MILESTONES if name not in found]
    if missing:
        said = (folder / "errors").read_text("utf-8").strip().splitlines()
        raise RunFailed(f"the run ended before: {', '.join(missing)}; it said: {said[-1:]}")
    return found


def _started(command: Sequence[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=outside(),
    )


def _text(starts: Sequence[Start]) -> str:
    rows = [(name, median(one.seconds[name] for one in starts)) for name in (IMPORTED, *MILESTONES)]
    return table(("after the command", "seconds"), rows)
