"""Grading beside math-verify, on the same answers: answers a second.

    python -m benchmarks grading             the answers of tests/grading/golden
    python -m benchmarks grading FILE.jsonl  the lines that `mssr_rl grade` takes

Both times are of processor seconds on one core; ours include the grading process. Every answer is
graded once, so nothing comes from a memory of earlier verdicts. math-verify parses the gold
answer and the content of the box, and keeps its own time limits.
"""

import json
import time
from argparse import Namespace
from pathlib import Path
from typing import NamedTuple

from math_verify import parse
from math_verify import verify as math_verify

from benchmarks.command import Parser, Report
from benchmarks.measure import Stopwatch
from benchmarks.table import table
from mssr_rl.errors import UserError
from mssr_rl.grading import workers
from mssr_rl.grading.verify import gold_response, last_box, verify

GOLDEN = Path(__file__).parents[1] / "tests" / "grading" / "golden" / "answers.jsonl"
PLAIN = 40_000
HEADER = ("what", "answers", "answers per CPU s")


class Case(NamedTuple):
    """One response to grade."""

    response: str
    answer: str


def parser() -> Parser:
    """The words it takes."""
    found = Parser("grading", __doc__)
    found.add_argument("file", type=Path, nargs="?", help="with lines of id, response, answer")
    return found


def measured(given: Namespace) -> Report:
    """Three throughputs and a ratio."""
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
    text = f"{table(HEADER, rows)}\n\nours over math-verify: {ours / theirs:.1f}"
    return Report(text, {"plain": rate, "mixed": ours, "math_verify": theirs})


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
    rows = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]
    return [
        Case(gold_response(answer), row["gold"])
        for row in rows
        for answer in (*row["pays"], *row["does_not"])
    ]
