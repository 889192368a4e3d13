"""What the grader remembers of verdicts that a helper process gave: only what will be so again."""

from collections.abc import Iterator

import pytest

from mssr_rl.grading import verify as module
from mssr_rl.grading import workers
from mssr_rl.grading.verify import verify

GOLD = "x^2+2x+1"  # needs algebra


class Helper:
    """Stands where the helper process is asked, gives the reasons in turn, and counts."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.asked: list[str] = []

    def __call__(self, text: str, answer: str, choices: object) -> str:
        self.asked.append(text)
        return self.reasons[min(len(self.asked), len(self.reasons)) - 1]


@pytest.fixture
def helper(monkeypatch: pytest.MonkeyPatch) -> Iterator[Helper]:
    found = Helper()
    monkeypatch.setattr(workers, "ask", found)
    module._remembered.clear()
    yield found
    module._remembered.clear()


def reason(text: str) -> str:
    return verify(f"<think></think>\\boxed{{{text}}}", GOLD).reason


@pytest.mark.parametrize("first", ["correct", "wrong"])
def test_a_verdict_is_asked_for_once(helper: Helper, first: str) -> None:
    helper.reasons = [first, "another"]
    assert [reason("(x+1)^2"), reason("(x+1)^2")] == [first, first]
    assert len(helper.asked) == 1


@pytest.mark.parametrize("first", ["timeout", "error"])
def test_a_busy_machine_is_no_verdict(helper: Helper, first: str) -> None:
    helper.reasons = [first, "correct"]
    assert [reason("(x+1)^2"), reason("(x+1)^2")] == [first, "correct"]


@pytest.mark.parametrize(("chars", "times"), [(256, 1), (257, 2)])
def test_long_answers_are_not_kept(helper: Helper, chars: int, times: int) -> None:
    helper.reasons = ["correct"]
    text = "(x+1)^2".rjust(chars, "+")
    assert reason(text) == reason(text) == "correct"
    assert len(helper.asked) == times


def test_a_full_memory_starts_anew(helper: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    helper.reasons = ["correct"]
    for text in ("(x+1)^2", "(1+x)^2", "(x+1)(x+1)"):
        reason(text)
    assert [key[0] for key in module._remembered] == ["(x+1)(x+1)"]
