"""Suites that others wrote for their graders, rebuilt by value, and how often we agree with them.

golden/suites.jsonl has the kinds of case of seven public suites, with other numbers and letters, a
gold answer a line, and beside each a few more spellings and near misses of its kind. What pays is
the suite's verdict, not ours: where we decided otherwise (docs/grading.md), or miss something, the
case is counted against us. Left out is what is no question of value, such as how a suite finds the
answer in a page of text, and cases whose suite pays another value (1 + 1/e for 1 - 1/e).

    python tests/grading/test_suites.py     both counts, and every case on which we differ
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from mssr_rl.check_env.audit import graders
from mssr_rl.grading.verify import gold_response, verify

FILE = Path(__file__).parent / "golden" / "suites.jsonl"
SHARE = 0.93  # of the cases on which we agree, at least


class SuiteCase(NamedTuple):
    """An answer and what its suite says of it."""

    suite: str
    kind: str
    gold: str
    answer: str
    pays: bool


def cases() -> list[SuiteCase]:
    found = []
    for line in FILE.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        head = (row["suite"], row["kind"], row["gold"])
        found += [SuiteCase(*head, answer, True) for answer in row["pays"]]
        found += [SuiteCase(*head, answer, False) for answer in row["does_not"]]
    return found


def ours(case: SuiteCase) -> bool:
    return verify(gold_response(case.answer), case.gold).correct


def theirs(case: SuiteCase) -> bool:
    """math-verify's verdict on the same two texts."""
    try:
        return bool(graders()["math-verify"](case.answer, case.gold))
    except Exception:  # noqa: BLE001  it is somebody else's; then it does not agree
        return not case.pays


@pytest.mark.slow
def test_we_agree_with_most_of_what_others_wrote_and_more_often_than_math_verify() -> None:
    known = cases()
    assert len(known) >= 525
    agreed = sum(ours(case) == case.pays for case in known)
    assert agreed >= SHARE * len(known)
    assert agreed >= sum(theirs(case) == case.pays for case in known)


@pytest.mark.slow
def test_what_a_suite_calls_wrong_pays_nothing() -> None:
    assert [case for case in cases() if not case.pays and ours(case)] == []


def show() -> None:
    known = cases()
    right = Counter(case.suite for case in known if ours(case) == case.pays)
    others = Counter(case.suite for case in known if theirs(case) == case.pays)
    for suite, count in Counter(case.suite for case in known).items():
        sys.stdout.write(f"{suite}: {count} cases, ours {right[suite]}, theirs {others[suite]}\n")
    sums = (len(known), right.total(), others.total())
    sys.stdout.write("all: {} cases, ours agrees with {}, math-verify with {}\n".format(*sums))
    for case in known:
        if ours(case) != case.pays:
            said = "pays there" if case.pays else "does not pay there"
            sys.stdout.write(f"  {case.suite}, {case.kind}: {case.answer} for {case.gold} {said}\n")


if __name__ == "__main__":
    show()
