"""What counts as the same answer, kind by kind, and the page that says so.

golden/rules.jsonl holds a gold answer a line, with what pays for it and what does not, under the
name of a kind. The first line of a kind says its rule; `decided` marks the rules on which graders
differ. docs/grading.md shows an example of each: `python tests/grading/test_rules.py` writes its
tables again, and a test holds them equal.
"""

import json
import sys
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from mssr_rl.grading.algebra.compare import equivalent
from mssr_rl.grading.answers import read_off_or
from mssr_rl.grading.judge import decide
from mssr_rl.grading.quantities import OverLimit
from mssr_rl.grading.readable import parseable
from mssr_rl.grading.verify import gold_response, last_box, verify

GOLDEN = Path(__file__).parent / "golden" / "rules.jsonl"
PAGE = Path(__file__).parents[2] / "docs" / "grading.md"
ROWS = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]
BEGIN, END = "<!-- {} from tests/grading/golden/rules.jsonl -->", "<!-- end -->"
HEADER = "| what | gold answer | pays | does not pay |\n|---|---|---|---|\n"
SHOWN = 3  # examples of a cell
SAME = read_off_or(equivalent)


def named(row: dict[str, Any]) -> str:
    return f"{row['kind']} {row['gold'][:30]}"


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_what_a_rule_reads_pays_and_nothing_else_does(row: dict[str, Any]) -> None:
    choices = row.get("choices")
    wanted = {**dict.fromkeys([*row["pays"], row["gold"]], True)}
    wanted |= dict.fromkeys(row["does_not"], False)
    found = {a: verify(gold_response(a), row["gold"], choices).correct for a in wanted}
    assert {a for a in wanted if found[a] != wanted[a]} == set()


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_no_answer_of_the_rules_raises_without_the_process_around_it(row: dict[str, Any]) -> None:
    for answer in [*row["pays"], *row["does_not"]]:
        boxed = last_box(gold_response(answer))
        assert boxed is not None
        with suppress(OverLimit):  # which the worker calls a timeout
            decide(boxed, row["gold"], row.get("choices"), SAME)


def test_every_gold_answer_of_the_rules_can_be_read() -> None:
    golds = [row["gold"] for row in ROWS if not parseable(row["gold"], row.get("choices"))]
    assert golds == []


def test_the_rules_hold_hundreds_of_cases_and_as_many_that_must_not_pay() -> None:
    assert sum(len(row["pays"]) for row in ROWS) >= 700
    assert sum(len(row["does_not"]) for row in ROWS) >= 450
    assert all(
        row["rule"] or any(r["rule"] for r in ROWS if r["kind"] == row["kind"]) for row in ROWS
    )


def test_the_page_shows_the_rules_that_these_tests_hold() -> None:
    assert PAGE.read_text(encoding="utf-8") == written(PAGE.read_text(encoding="utf-8"))


def written(page: str) -> str:
    """The page with its two tables made again."""
    for name, decided in (("rules", False), ("decisions", True)):
        begin = BEGIN.format(name)
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(END)
        page = f"{before}{begin}\n{table(decided=decided)}{END}{after}"
    return page


def table(*, decided: bool) -> str:
    rows = [row for row in ROWS if row.get("decided", False) == decided]
    return HEADER + "".join(
        line(next(kind)) for _, kind in groupby(rows, key=lambda row: row["kind"])
    )


def line(row: dict[str, Any]) -> str:
    gold = code(row["gold"])
    if "choices" in row:
        gold += " of " + ", ".join(map(code, row["choices"]))
    pays, does_not = (", ".join(map(code, row[of][:SHOWN])) for of in ("pays", "does_not"))
    return f"| **{row['kind']}**: {row['rule']} | {gold} | {pays} | {does_not} |\n"


def code(text: str) -> str:
    return "`" + text.replace("|", r"\|") + "`"


if __name__ == "__main__":
    sys.stdout.write(f"writing {PAGE}\n")
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
