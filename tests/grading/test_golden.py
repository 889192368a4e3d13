"""Several hundred answers with the verdict a careful mathematician gives, by kind.

golden/answers.jsonl holds one gold answer a line with what pays for it and what does not, and
golden/variants.jsonl other spellings of the kinds. The verdicts follow docs/grading.md, and the
tables in test_answers.py and test_choices.py add to them.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from mssr_rl.grading.algebra.compare import equivalent
from mssr_rl.grading.answers import read_off_or
from mssr_rl.grading.judge import decide
from mssr_rl.grading.verify import gold_response, last_box, verify

SAME = read_off_or(equivalent)

GOLDEN = Path(__file__).parent / "golden"
GOLD = [
    json.loads(line)
    for name in ("answers", "variants")
    for line in (GOLDEN / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
]
KINDS = [
    "number", "separator", "fraction", "mixed", "percent", "unit", "radical", "power", "log",
    "pi", "expression", "equation", "inequality", "or", "tuple", "list", "set", "interval",
    "matrix", "complex", "ratio", "time", "base", "choice", "words", "mixed bag", "grammar",
    "families", "sets", "piecewise", "names", "derivations", "units", "Chinese", "choices",
    "golds", "numbers", "equations", "vectors",
]  # fmt: skip


def named(row: dict[str, Any]) -> str:
    return f"{row['kind']} {row['gold'][:30]}"


@pytest.mark.parametrize("row", GOLD, ids=named)
def test_every_spelling_of_the_value_pays(row: dict[str, Any]) -> None:
    verdicts = {a: verify(gold_response(a), row["gold"], row.get("choices")) for a in row["pays"]}
    assert {a: v.reason for a, v in verdicts.items() if not v.correct} == {}


@pytest.mark.parametrize("row", GOLD, ids=named)
def test_nothing_else_pays(row: dict[str, Any]) -> None:
    answers = row["does_not"]
    verdicts = {a: verify(gold_response(a), row["gold"], row.get("choices")) for a in answers}
    assert [a for a, v in verdicts.items() if v.correct] == []


@pytest.mark.parametrize("row", GOLD, ids=named)
def test_a_gold_answer_pays_itself(row: dict[str, Any]) -> None:
    assert verify(gold_response(row["gold"]), row["gold"], row.get("choices")).correct


@pytest.mark.parametrize("row", GOLD, ids=named)
def test_the_algebra_says_so_itself(row: dict[str, Any]) -> None:
    """Without the process that bounds its time and hides what it raises."""
    for text, pays in [*((a, True) for a in row["pays"]), *((a, False) for a in row["does_not"])]:
        boxed = last_box(gold_response(text))
        assert boxed is not None
        found = decide(boxed, row["gold"], row.get("choices"), SAME)
        assert found == pays, text


def test_the_file_holds_hundreds_of_cases_of_every_kind() -> None:
    assert {row["kind"] for row in GOLD} == set(KINDS)
    assert sum(len(row["pays"]) for row in GOLD) >= 350
    assert sum(len(row["does_not"]) for row in GOLD) >= 350
