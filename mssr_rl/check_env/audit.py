"""Where verifiers disagree: ours, exact match, math-verify and MathRuler on the same pairs.

The pairs are the environment's golds in their spellings and beside other rows' answers. The two
foreign graders run in this process, on golds of the user's own data only. MathRuler is asked if it
is installed; without a box it compares the text "None", which is why it is given one.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from mssr_rl.check_env import environment_laws, probes
from mssr_rl.envs import ProblemEnv
from mssr_rl.grading.verify import last_box

Grader = Callable[[str, str], bool]


class Disagreement(NamedTuple):
    """One pair and the verdicts on it."""

    answer: str
    gold: str
    verdicts: Mapping[str, bool]


class Audit(NamedTuple):
    """All pairs counted, and those on which not all agree."""

    pairs: int
    kappa: Mapping[str, float]  # Cohen's, of each grader with ours
    disagreements: list[Disagreement]


def audit(env: ProblemEnv) -> Audit:
    """Grade every pair by every grader that is installed."""
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
    return Audit(pairs, {name: kappa(found) for name, found in counts.items()}, differ)


def _pairs(env: ProblemEnv) -> Iterator[tuple[int, str]]:
    for row in environment_laws.rows_of(env):
        for probe in probes.spellings(env.problems[row], env.rules.respond):
            yield row, probe.response
        for other in list(dict.fromkeys(p.answer for p in env.problems))[:6]:
            yield row, env.rules.respond(other)


def graders() -> dict[str, Grader]:
    """The graders at hand, by name."""
    found: dict[str, Grader] = {"exact": lambda answer, gold: answer.strip() == gold.strip()}
    found["math-verify"] = _math_verify
    try:
        from mathruler.grader import grade_answer  # type: ignore[import-not-found]
    except ImportError:
        return found
    found["mathruler"] = grade_answer
    return found


def _math_verify(answer: str, gold: str) -> bool:
    from math_verify import parse, verify

    return bool(verify(parse(f"${gold}$"), parse(f"${answer}$")))


def kappa(pairs: list[tuple[bool, bool]]) -> float:
    """Agreement beyond chance; 1 where both always say the same."""
    n = len(pairs)
    agree = sum(a == b for a, b in pairs) / n
    yes_a, yes_b = sum(a for a, _ in pairs) / n, sum(b for _, b in pairs) / n
    chance = yes_a * yes_b + (1 - yes_a) * (1 - yes_b)
    return 1.0 if chance == 1 else (agree - chance) / (1 - chance)


def lines(found: Audit) -> list[str]:
    """The audit in words."""
    said = [f"audit         {found.pairs} pairs, {len(found.disagreements)} without agreement"]
    said += [f"              kappa of ours and {k}: {v:.3f}" for k, v in found.kappa.items()]
    for one in found.disagreements[:20]:
        verdicts = ", ".join(f"{name} {'yes' if v else 'no'}" for name, v in one.verdicts.items())
        pair = re.sub(r"\s+", " ", f"{one.answer[:40]!r} for {one.gold[:40]!r}")
        said.append(f"              {pair}: {verdicts}")
    return said
