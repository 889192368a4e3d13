"""Grading speed compared with math-verify on the same answers, and which stage decides.

    python -m benchmarks grading             the answers of tests/grading/golden/answers.jsonl
    python -m benchmarks grading FILE.jsonl  the lines that `mssr_rl grade` takes

Both times are processor seconds on one core; ours include the grading process. Every answer is
graded once, so no cached verdict is used. math-verify parses the gold answer and the content of
the box, and keeps its own time limits. The stages are those of docs/grading.md, counted on all
golden answers, in this process.
"""

import json
import time
from argparse import Namespace
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from math_verify import parse
from math_verify import verify as math_verify

from benchmarks.command import BenchmarkReport, Parser
from benchmarks.measure import Stopwatch
from benchmarks.table import table
from mssr_rl.errors import UserError
from mssr_rl.grading import workers
from mssr_rl.grading.algebra import identity, symbolic
from mssr_rl.grading.algebra.compare import equivalent
from mssr_rl.grading.answers import NeedsAlgebra, read_off, read_off_or
from mssr_rl.grading.judge import decide
from mssr_rl.grading.quantities import OverLimit
from mssr_rl.grading.verify import gold_response, last_box, verify

GOLDEN = Path(__file__).parents[1] / "tests" / "grading" / "golden"
PLAIN = 40_000
HEADER = ("what", "answers", "answers per CPU s")
STAGES = ("stage that decides", "answers", "right", "ms each")


class Case(NamedTuple):
    """One response to grade, and its gold answer."""

    response: str
    answer: str


def parser() -> Parser:
    """Return the parser of this benchmark's arguments."""
    arguments = Parser("grading", __doc__)
    arguments.add_argument("file", type=Path, nargs="?", help="with lines of id, response, answer")
    return arguments


def measured(given: Namespace) -> BenchmarkReport:
    """Measure three throughputs, the ratio to math-verify, and the stages that decide."""
    mixed = _from_file(given.file) if given.file else _golden()
    plain = [Case(gold_response(str(i)), str(i + i % 2)) for i in range(PLAIN)]
    if given.short:
        plain, mixed = plain[: PLAIN // 10], mixed[::8]
    rate = len(plain) / _ours(plain)
    ours, theirs = len(mixed) / _ours(mixed), len(mixed) / _theirs(mixed)
    rows = [
        ("plain answers, ours", len(plain), rate),
        ("mixed answers, ours", len(mixed), ours),
        ("mixed answers, math-verify", len(mixed), theirs),
    ]
    stages = _stages(_labelled()[:: 8 if given.short else 1])
    text = (
        f"{table(HEADER, rows)}\n\nours over math-verify: {ours / theirs:.1f}\n\n"
        f"{table(STAGES, stages)}"
    )
    return BenchmarkReport(text, {"plain": rate, "mixed": ours, "math_verify": theirs})


class Labelled(NamedTuple):
    """An answer with its known verdict."""

    text: str
    gold: str
    choices: list[str] | None
    pays: bool


def _stages(cases: list[Labelled]) -> list[tuple[str, int, int, float]]:
    """Return (stage, its answers, how many of them are graded right, milliseconds for each)."""
    counts, right = Counter[str](), Counter[str]()
    seconds: dict[str, float] = defaultdict(float)
    for case in cases:
        started = time.process_time()
        stage, pays = _decided(case)
        seconds[stage] += time.process_time() - started
        counts[stage] += 1
        right[stage] += pays == case.pays
    return [(s, n, right[s], 1000 * seconds[s] / n) for s, n in counts.most_common()]


def _decided(case: Labelled) -> tuple[str, bool]:
    asked = (case.text, case.gold, case.choices)
    try:
        return "read off", decide(*asked, read_off)
    except OverLimit:
        return "over a limit", False
    except NeedsAlgebra:
        pass
    with _noted() as used:
        try:
            pays = decide(*asked, read_off_or(equivalent))
        except OverLimit:
            pays = False
    return next((stage for stage in ("sympy", "numbers") if stage in used), "structure"), pays


@contextmanager
def _noted() -> Iterator[set[str]]:
    """Yield a set that collects the stages after `structure` whose functions are called inside."""
    used: set[str] = set()
    with (
        patch.object(identity, "_agree", _noting(identity._agree, "numbers", used)),  # noqa: SLF001
        patch.object(symbolic, "same", _noting(symbolic.same, "sympy", used)),
    ):
        yield used


def _noting(function: Callable[..., Any], stage: str, used: set[str]) -> Callable[..., Any]:
    def noting(*given: Any, **more: Any) -> Any:
        used.add(stage)
        return function(*given, **more)

    return noting


def _labelled() -> list[Labelled]:
    labelled = []
    for row in (*_rows("answers"), *_rows("rules")):
        for of in ("pays", "does_not"):
            boxes = [last_box(gold_response(text)) for text in row[of]]
            labelled += [
                Labelled(box, row["gold"], row.get("choices"), of == "pays") for box in boxes if box
            ]
    return labelled


def _rows(name: str) -> list[dict[str, Any]]:
    lines = (GOLDEN / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _ours(cases: list[Case]) -> float:
    workers.warm()
    watch = Stopwatch()
    for case in cases:
        verify(case.response, case.answer)
    return watch.read().cpu_seconds


def _theirs(cases: list[Case]) -> float:
    started = time.process_time()
    for case in cases:
        box = last_box(case.response)
        if box is not None:
            math_verify(parse(f"${case.answer}$"), parse(f"${box}$"))
    return time.process_time() - started


def _from_file(file: Path) -> list[Case]:
    try:
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        return [Case(row["response"], str(row["answer"])) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} has no lines of JSON with response and answer: {error}") from error


def _golden() -> list[Case]:
    return [
        Case(gold_response(answer), row["gold"])
        for row in _rows("answers")
        for answer in (*row["pays"], *row["does_not"])
    ]
