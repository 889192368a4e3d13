"""The time from the command to the first training step, for a second start with warm caches.

    python -m benchmarks startup

It starts `python -m mssr_rl train` with the laptop recipe as a process, as from a terminal, and
notes when certain lines appear: the settings in use, the first evaluation, step 1. A first run,
which is not counted, compiles the modules, draws the problems and fills the disk cache. Every run
ends after step 1. The figures are wall seconds since the command, as medians over starts. --short
evaluates 16 problems instead of the recipe's 512.
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

from benchmarks.command import BenchmarkReport, Parser, positive, say
from benchmarks.peers import outside
from benchmarks.table import table
from mssr_rl.config.compose import load
from mssr_rl.errors import RunFailed

# {milestone: the beginning of the line that shows it}, in the order of the lines.
MILESTONES: Mapping[str, str] = {
    "everything is loaded": "algo ",
    "first evaluation": "val at step 0",
    "first step": "step 1 ",
}
IMPORTED = "import mssr_rl"


class Start(NamedTuple):
    """The seconds from the command to each milestone of a run."""

    seconds: Mapping[str, float]


def parser() -> Parser:
    """Return the parser of this benchmark's arguments."""
    arguments = Parser("startup", __doc__)
    arguments.add_argument("--starts", type=positive, default=5, help="that count")
    arguments.add_argument("--algo", default="mssr", help="the arm that is started")
    return arguments


def measured(given: Namespace) -> BenchmarkReport:
    """Measure one start that is not counted, and then the starts that are counted."""
    load([f"algo={given.algo}"])  # raises here if the algorithm is unknown
    words = [f"algo={given.algo}", *(["eval.limit=16"] if given.short else [])]
    starts = []
    for number in range((1 if given.short else given.starts) + 1):
        starts.append(start(words))
        say(f"start {number}: step 1 after {starts[-1].seconds['first step']:.1f} s")
    return BenchmarkReport(_text(starts[1:]), [dict(one.seconds) for one in starts[1:]])


def start(words: Sequence[str]) -> Start:
    """Start a training run and end it after the first step; return the times of its milestones."""
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
