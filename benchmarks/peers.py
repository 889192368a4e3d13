"""Run the sides of a comparison as processes that take turns; one works at a time.

So every side has its own memory, and may use another Python environment. All sides are measured
during the same minutes of a busy machine. A side is a module of `benchmarks.sides`. It gets its
options as JSON and sends one record when it is ready. Then it answers every line `go` with one
record: the cost of its batch. Everything else that it prints goes to its log.
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
# Our command line sets this for torch. Others keep torch's default: TRL was no faster with it, and
# used a third more memory.
LARGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1"}


class Call(NamedTuple):
    """The module, options and environment with which a side is started."""

    name: str  # as it is shown
    module: str  # run by `python -m`
    options: Mapping[str, Any]
    python: str = sys.executable
    environment: Mapping[str, str] = {}


class Side:
    """The process of one side, as seen from the benchmark that drives it."""

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
        """Return the next record of the side.

        Raise RunFailed with the side's last line of output if it ended without a record.
        """
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise RunFailed(f"{self.name} ended before its turn did: {self._last_words()}")
        record: Record = json.loads(line)
        return record

    def turn(self) -> Record:
        """Let the side work through one batch; return its record."""
        assert self._process.stdin
        with suppress(BrokenPipeError):  # it has ended; `hear` reports its last output
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        self.records.append(self.hear())
        return self.records[-1]

    def close(self) -> None:
        """End the process of the side: it has 20 seconds to end by itself, then it is killed."""
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
    """Return the environment without the variables that `python -m benchmarks` sets for itself."""
    mine = ("OMP_NUM_THREADS", *LARGE_PAGES)
    kept = {name: value for name, value in os.environ.items() if name not in mine}
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**kept, "PYTHONPATH": path}


@contextmanager
def seated(calls: Sequence[Call]) -> Iterator[list[Side]]:
    """Start all sides one after the other; yield them when they are ready."""
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
    """Give each side `count` turns, in rounds of one turn each.

    A first round is not counted.
    """
    for number in range(count + 1):
        for side in sides:
            record = side.turn()
            busy = f", others kept {record['others']:.1f} cores" if record["others"] > 0.1 else ""
            say(f"round {number}  {side.name}: {record['seconds']:.2f} s{busy}")
    for side in sides:
        del side.records[0]


def cost(side: Side) -> Typical:
    """Return the median cost of a side's batches."""
    return typical([Cost(r["seconds"], r["cpu_seconds"], r["others"]) for r in side.records])


# ---- the other end -----------------------------------------------------------------------


class Channel:
    """The connection of a side to the benchmark that drives it.

    Everything else that the side writes to stdout goes to stderr.
    """

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self._watch = Stopwatch()

    def ready(self, **facts: Any) -> None:
        """Send the record that the side is ready for its first turn."""
        self._say(facts)

    def wait(self) -> bool:
        """Wait for the next turn and start its clock. Return False if there is no further turn."""
        go_on = sys.stdin.readline().strip() == "go"
        self._watch = Stopwatch()
        return go_on

    def tell(self, **facts: Any) -> None:
        """Send the record of a finished turn: its cost, the peak memory and `facts`."""
        spent = self._watch.read()
        self._say({**spent._asdict(), "peak_rss_mib": peak_rss_mib(), **facts})

    def _say(self, record: Record) -> None:
        self._out.write(f"{json.dumps(record)}\n")
        self._out.flush()


def options() -> dict[str, Any]:
    """Return the options with which this side was started."""
    received: dict[str, Any] = json.loads(sys.argv[1])
    return received
