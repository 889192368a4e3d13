"""Laws in a process of their own: what hangs or dies is found, and nothing is left behind."""

import os
import time
from collections.abc import Iterator

import pytest

from mssr_rl.check_env.law_trial import Violation, tried, working_on
from mssr_rl.errors import UserError

pytestmark = pytest.mark.slow


def test_a_law_that_ends_has_found_what_it_found() -> None:
    found = [Violation("a", "b")]
    assert tried(lambda: found) == (found, True)


def test_a_law_that_hangs_is_killed_and_its_response_named() -> None:
    def hangs() -> Iterator[Violation]:
        working_on("row 3: a hack")
        time.sleep(100)
        yield Violation("a", "b")

    (finding,), ended = tried(hangs, patience=0.3)
    assert finding.law == "bounded time"
    assert finding.says.startswith("row 3: a hack does not end within 0.3 s")
    assert not ended


def test_the_patience_is_for_one_response() -> None:
    def slow() -> Iterator[Violation]:
        for row in range(5):
            working_on(str(row))
            time.sleep(0.2)
        yield Violation("a", "b")

    assert tried(slow, patience=0.7).ended


def test_a_law_that_dies_is_a_finding() -> None:
    def dies() -> Iterator[Violation]:
        working_on("row 4")
        os._exit(3)
        yield Violation("a", "b")

    assert tried(dies) == ([Violation("process-safe", "the process dies on row 4")], False)


def test_a_sentence_for_the_user_reaches_the_user() -> None:
    def refuses() -> Iterator[Violation]:
        raise UserError("no such picture")
        yield Violation("a", "b")

    with pytest.raises(UserError, match="no such picture"):
        tried(refuses)
