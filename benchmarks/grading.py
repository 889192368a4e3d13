"""How fast is grading? Ours beside math-verify's own, on the same answers: prints answers a second.

    python benchmarks/grading.py             the answers of tests/grading/golden
    python benchmarks/grading.py FILE.jsonl  a file of contract C: id, response, answer

Both times are of processor seconds on one core; ours include the grading process. Every answer is
graded once, so nothing comes from a memory of earlier verdicts. math-verify parses the gold
answer and the content of the box, and keeps its own time limits.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil
from math_verify import parse
from math_verify import verify as math_verify

from mssr_rl.grading import workers
from mssr_rl.grading.verify import gold_response, last_box, verify

GOLDEN = Path(__file__).parents[1] / "tests" / "grading" / "golden" / "answers.jsonl"
PLAIN = 40_000


class Case(NamedTuple):
    """One response to grade."""

    response: str
    answer: str


def main(words: list[str]) -> None:
    """Print three throughputs and a ratio."""
    mixed = _from_file(Path(words[0])) if words else _golden()
    plain = [Case(gold_response(str(i)), str(i + i % 2)) for i in range(PLAIN)]
    rate = len(plain) / _ours(plain)
    ours, theirs = len(mixed) / _ours(mixed), len(mixed) / _theirs(mixed)
    sys.stdout.write(
        f"plain answers, mssr_rl      {rate:10,.0f} a second ({len(plain)} answers)\n"
        f"mixed answers, mssr_rl      {ours:10,.0f} a second ({len(mixed)} answers)\n"
        f"mixed answers, math-verify  {theirs:10,.0f} a second\n"
        f"ratio                       {ours / theirs:10.1f}\n"
    )


def _ours(cases: list[Case]) -> float:
    workers.warm()
    started = _seconds()
    for case in cases:
        verify(case.response, case.answer)
    return _seconds() - started


def _seconds() -> float:
    """Processor time of this process and of those it started."""
    children = psutil.Process().children(recursive=True)
    return time.process_time() + sum(sum(child.cpu_times()[:2]) for child in children)


def _theirs(cases: list[Case]) -> float:
    started = time.process_time()
    for case in cases:
        box = last_box(case.response)
        if box is not None:
            math_verify(parse(f"${case.answer}$"), parse(f"${box}$"))
    return time.process_time() - started


def _from_file(file: Path) -> list[Case]:
    lines = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
    return [Case(line["response"], str(line["answer"])) for line in lines]


def _golden() -> list[Case]:
    rows = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]
    return [
        Case(gold_response(answer), row["gold"])
        for row in rows
        for answer in (*row["pays"], *row["does_not"])
    ]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(sys.argv[1:])
