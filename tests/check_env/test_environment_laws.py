"""The conformance suite: it passes our environments and names the hole in each bad one."""

import random
import time
from collections.abc import Callable, Sequence

import pytest

from mssr_rl.check_env import environment_laws
from mssr_rl.envs import ProblemEnv, Rules, environments
from mssr_rl.grading.verify import Verdict, last_box, verify
from mssr_rl.problem import Problem

Grader = Callable[[str, str, Sequence[str] | None], Verdict]


def said(right: bool, response: str) -> Verdict:
    return Verdict("correct" if right else "wrong", response)


def or_else(extra: Callable[[str, str], bool]) -> Grader:
    """Our grader with a hole: `extra` pays too."""

    def grader(response: str, answer: str, choices: Sequence[str] | None) -> Verdict:
        verdict = verify(response, answer, choices)
        return verdict if verdict.correct else said(extra(response, answer), response)

    return grader


def first_box(response: str, answer: str) -> bool:
    return response.startswith("<think>") and f"</think>\\boxed{{{answer}}}" in response


def literal(response: str, answer: str, choices: Sequence[str] | None) -> Verdict:
    return said((last_box(response) or "").strip() == answer, response)


def slow(response: str, answer: str, choices: Sequence[str] | None) -> Verdict:
    if len(response) > 10**6:
        time.sleep(1.05)
    return verify(response, answer, choices)


def raising(response: str, answer: str, choices: Sequence[str] | None) -> Verdict:
    return said(response.split("boxed{")[1].split("}", maxsplit=1)[0] == answer, response)


def moody(response: str, answer: str, choices: Sequence[str] | None) -> Verdict:
    return said(random.random() < 0.5, response)


HOLES: dict[str, tuple[Grader, str]] = {
    "an empty answer is a substring of any": (
        or_else(lambda r, a: (last_box(r) or "") in a), "an empty",
    ),
    "the copied question pays": (or_else(lambda r, a: r.startswith("What is")), "question copied"),
    "a list of letters pays": (or_else(lambda r, a: "A or B or C" in r), "several letters"),
    "any listing that holds the answer pays": (
        or_else(lambda r, a: a in (last_box(r) or "").split(", ")), "every option listed",
    ),
    "the think block is graded": (
        or_else(lambda r, a: r == f"<think>\\boxed{{{a}}}</think>"), "only inside the think block",
    ),
    "the text is graded where there is no box": (
        or_else(lambda r, a: r.endswith(f"answer is {a}.")), "outside of the box",
    ),
    "the first box counts": (or_else(first_box), "two answers, the last one wrong"),
    "only the very letters of the gold pay": (literal, "as '+"),
    "a hedge pays": (or_else(lambda r, a: f"{a} or " in r), "the gold answer and another"),
    "a megabyte takes a second": (slow, "takes 1."),
    "it raises on odd text": (raising, "IndexError"),
    "it draws lots": (moody, "earn different rewards"),
}  # fmt: skip


def env(grader: Grader = verify, keys: str = "ab") -> ProblemEnv:
    sums = [("12 + 30", "42"), ("5 + 2", "7")]
    problems = [
        Problem(key=key, prompt=f"What is {s}?", answer=a)
        for key, (s, a) in zip(keys, sums, strict=True)
    ]
    return ProblemEnv(problems, name="sums", split="test", rules=Rules(verify=grader))


def findings(tested: ProblemEnv) -> list[str]:
    return [finding.says for law in environment_laws.LAWS for finding in law(tested)]


def test_a_sound_environment_breaks_no_law() -> None:
    assert findings(env()) == []


@pytest.mark.slow
@pytest.mark.parametrize("hole", HOLES)
def test_every_planted_hole_is_found_and_named(hole: str) -> None:
    grader, says = HOLES[hole]
    found = findings(env(grader))
    assert [one for one in found if says in one], found


def test_eight_holes_in_one_environment_are_all_found() -> None:
    """All of them pay at once in one grader that only knows the gold's very letters."""
    holes = [grader for name, (grader, _) in HOLES.items() if grader not in (slow, raising, moody)]

    def bad(response: str, answer: str, choices: Sequence[str] | None) -> Verdict:
        paid = [g(response, answer, choices).correct for g in holes if g is not literal]
        exact = verify(response, answer).correct and not literal(response, answer, None).correct
        return said(any(paid) and not exact, response)

    found = "\n".join(findings(env(bad)))
    wanted = [says for grader, says in HOLES.values() if grader not in (slow, raising, moody)]
    assert len(wanted) == 9
    assert [says for says in wanted if says not in found] == []


def test_keys_that_repeat_are_found() -> None:
    assert findings(env(keys="aa")) == ["2 rows have the key a"]


def test_a_grader_that_depends_on_its_process_is_found() -> None:
    import os

    here = os.getpid()

    def tied(response: str, answer: str, choices: Sequence[str] | None) -> Verdict:
        return said(verify(response, answer).correct and os.getpid() == here, response)

    assert "another process grades otherwise, or fails" in findings(env(tied))


@pytest.mark.slow
@pytest.mark.parametrize("name", environments.names())
def test_no_environment_of_ours_breaks_a_law(name: str) -> None:
    few = {"limit": 30} if "limit" in environments.options(name) else {}
    assert findings(environments.make(name, split="test", **few)) == []


def test_speed_is_measured() -> None:
    assert environment_laws.items_per_second(env(), seconds=0.05) > 1000


def test_a_response_that_is_slow_once_and_never_again_is_no_finding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(environment_laws, "SLOW", 0.05)
    waits = iter([0.2])

    def busy_once(response: str, answer: str, choices: Sequence[str] | None) -> Verdict:
        time.sleep(next(waits, 0.0))
        return literal(response, answer, choices)

    found = environment_laws.hacks_do_not_pay(env(busy_once))
    assert [finding for finding in found if finding.law == "bounded time"] == []
    assert next(waits, None) is None
