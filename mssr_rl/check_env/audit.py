"""Finds pairs on which verifiers disagree: ours, exact match, math-verify and MathRuler.

A pair is a gold answer with one of its spellings, or with the answer of another row. math-verify
and MathRuler run in this process, and only on gold answers of the user's own data. MathRuler is
used if it is installed. Without a box it would compare the text "None", so answers get a box.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from mssr_rl.check_env import environment_laws, probes
from mssr_rl.envs import ProblemEnv
from mssr_rl.grading.verify import last_box

Grader = Callable[[str, str], bool]


class Disagreement(NamedTuple):
    """A pair of answers, and the verdict of every grader."""

    answer: str
    gold: str
    verdicts: Mapping[str, bool]


class Audit(NamedTuple):
    """The number of pairs, the agreement with each grader, and the pairs with disagreement."""

    pairs: int
    kappa: Mapping[str, float]  # Cohen's kappa of each grader with ours
    disagreements: list[Disagreement]


def audit(env: ProblemEnv) -> Audit:
    """Grade every pair with every installed grader; return the pairs on which they disagree."""
    others = graders()
    counts: dict[str, list[tuple[bool, bool]]] = {name: [] for name in others}
    differ, pairs = [], 0
    for row, response in _pairs(env):
        box, gold = last_box(response) or "", env.problems[row].answer
        mine = env.grade([row], [response])[0].verdict.correct
        verdicts = {name: bool(grader(box, gold)) for name, grader in others.items()}
        pairs += 1
        for name, verdict in verdicts.items():
            counts[name].append((mine, verdict))
        if set(verdicts.values()) != {mine}:
            differ.append(Disagreement(box, gold, {"ours": mine, **verdicts}))
    return Audit(
        pairs, {name: kappa(verdict_pairs) for name, verdict_pairs in counts.items()}, differ
    )


def _pairs(env: ProblemEnv) -> Iterator[tuple[int, str]]:
    for row in environment_laws.rows_of(env):
        for probe in probes.spellings(env.problems[row], env.rules.respond):
            yield row, probe.response
        for other in list(dict.fromkeys(p.answer for p in env.problems))[:6]:
            yield row, env.rules.respond(other)


def graders() -> dict[str, Grader]:
    """Return {name: grader} of all graders that are installed."""
    known: dict[str, Grader] = {"exact": lambda answer, gold: answer.strip() == gold.strip()}
    known["math-verify"] = _math_verify
    try:
        from mathruler.grader import grade_answer  # type: ignore[import-not-found]
    except ImportError:
        return known
    known["mathruler"] = grade_answer
    return known


def _math_verify(answer: str, gold: str) -> bool:
    from math_verify import parse, verify

    return bool(verify(parse(f"${gold}$"), parse(f"${answer}$")))


def kappa(pairs: list[tuple[bool, bool]]) -> float:
    """Return Cohen's kappa: agreement beyond chance; 1 if both always give the same verdict."""
    n = len(pairs)
    agree = sum(a == b for a, b in pairs) / n
    yes_a, yes_b = sum(a for a, _ in pairs) / n, sum(b for _, b in pairs) / n
    chance = yes_a * yes_b + (1 - yes_a) * (1 - yes_b)
    return 1.0 if chance == 1 else (agree - chance) / (1 - chance)


def lines(result: Audit) -> list[str]:
    """Return the audit as lines of text."""
    text = [f"audit         {result.pairs} pairs, {len(result.disagreements)} without agreement"]
    text += [f"              kappa of ours and {k}: {v:.3f}" for k, v in result.kappa.items()]
    for one in result.disagreements[:20]:
        verdicts = ", ".join(f"{name} {'yes' if v else 'no'}" for name, v in one.verdicts.items())
        pair = re.sub(r"\s+", " ", f"{one.answer[:40]!r} for {one.gold[:40]!r}")
        text.append(f"              {pair}: {verdicts}")
    return text
