"""Processes that take turns: each side of a comparison in one of its own, one at work at a time.

So every side's memory is its own, both meet the same minutes of a noisy machine, and each may live
in another environment. A side is a module of `benchmarks.sides` that is given JSON options, says
`ready` with what it has to say about itself, and then answers every `go` with one record of what
its batch cost. What it prints otherwise goes to its log.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.command import say
from benchmarks.measure import Cost, Stopwatch, Typical, peak_rss_mib, typical
from mssr_rl.errors import RunFailed

ROOT = Path(__file__).parents[1]
Record = Mapping[str, Any]
# What our command line sets for torch. Others keep torch's default: TRL was no faster with it, and
# took a third more memory.
LARGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1"}


class Call(NamedTuple):
    """How a side is started."""

    name: str  # for people
    module: str  # run by `python -m`
    options: Mapping[str, Any]
    python: str = sys.executable
    environment: Mapping[str, str] = {}


class Side:
    """The driver's end of one process."""

    def __init__(self, call: Call) -> None:
        self.name = call.name
        self.records: list[Record] = []
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed in `close`
        self._process = subprocess.Popen(
            [call.python, "-m", call.module, json.dumps(call.options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**outside(), **call.environment},
        )

    def hear(self) -> Record:
        """Its next record; `RunFailed` with its last words if there is none."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise RunFailed(f"{self.name} ended before its turn did: {self._last_words()}")
        record: Record = json.loads(line)
        return record

    def turn(self) -> Record:
        """Let it work through one batch."""
        assert self._process.stdin
        with suppress(BrokenPipeError):  # it is gone, and what it left is heard
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        self.records.append(self.hear())
        return self.records[-1]

    def close(self) -> None:
        """No more turns; it ends by itself, or is ended."""
        assert self._process.stdin
        assert self._process.stdout
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else "it said nothing"


def outside() -> dict[str, str]:
    """The environment without what `python -m benchmarks` has set for itself."""
    mine = ("OMP_NUM_THREADS", *LARGE_PAGES)
    kept = {name: value for name, value in os.environ.items() if name not in mine}
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**kept, "PYTHONPATH": path}


@contextmanager
def seated(calls: Sequence[Call]) -> Iterator[list[Side]]:
    """All sides, started one after the other and ready."""
    with ExitStack() as stack:
        sides = []
        for call in calls:
            say(f"starting {call.name}")
            side = Side(call)
            stack.callback(side.close)
            side.hear()
            sides.append(side)
        yield sides


def rounds(sides: Sequence[Side], count: int) -> None:
    """`count` turns each, in a ring, after a first one that is forgotten."""
    for number in range(count + 1):
        for side in sides:
            record = side.turn()
            busy = f", others kept {record['others']:.1f} cores" if record["others"] > 0.1 else ""
            say(f"round {number}  {side.name}: {record['seconds']:.2f} s{busy}")
    for side in sides:
        del side.records[0]


def cost(side: Side) -> Typical:
    """Of its batches."""
    return typical([Cost(r["seconds"], r["cpu_seconds"], r["others"]) for r in side.records])


# ---- the other end -----------------------------------------------------------------------


class Channel:
    """A side's line to the driver; whatever else writes to stdout is sent to stderr."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self._watch = Stopwatch()

    def ready(self, **facts: Any) -> None:
        """From now on turns may come."""
        self._say(facts)

    def wait(self) -> bool:
        """For the next turn, whose time runs from here; False if there is none."""
        told = sys.stdin.readline().strip() == "go"
        self._watch = Stopwatch()
        return told

    def tell(self, **facts: Any) -> None:
        """The turn is done; its cost goes with the facts."""
        spent = self._watch.read()
        self._say({**spent._asdict(), "peak_rss_mib": peak_rss_mib(), **facts})

    def _say(self, record: Record) -> None:
        self._out.write(f"{json.dumps(record)}\n")
        self._out.flush()


def options() -> dict[str, Any]:
    """What this side was told."""
    told: dict[str, Any] = json.loads(sys.argv[1])
    return told
