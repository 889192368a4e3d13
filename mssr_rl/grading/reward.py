"""From a verdict to the number a policy is trained on; `verify` makes the verdicts.

A reward is a weighted sum of parts, each from 0 to 1, which `env.reward` spells out:

    accuracy                                     the default (MSSR: format weight 0)
    0.9*accuracy + 0.1*format                    EasyR1's default
    0.8*accuracy + 0.1*format + 0.1*length:400   and short right answers, in characters

The weights add up to 1 at most and accuracy weighs more than half, so that right answers pay more
than 0.5 and others less: trackers count by that. Accuracy in evaluations is the verdict's, whatever
the reward.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from mssr_rl.errors import UserError
from mssr_rl.grading.verify import Verdict

Reward = Callable[[Verdict, str], float]  # of a verdict and the response it is about

_TERM = re.compile(r"(?:(?P<weight>\d*\.?\d+)\*)?(?P<name>[a-z]+)(?::(?P<limit>[1-9]\d*))?")


def accuracy(verdict: Verdict, response: str = "") -> float:  # noqa: ARG001
    """1 for a right answer in the right format, 0 for everything else."""
    return float(verdict.correct)


def well_formed(verdict: Verdict, response: str = "") -> float:  # noqa: ARG001
    """1 for a think block and a box that was read, whatever is in it."""
    return float(verdict.reason in ("correct", "wrong"))


@dataclass(frozen=True)
class Brevity:
    """1 for a right answer of at most `limit` characters, falling to 0 at twice as many."""

    limit: int

    def __call__(self, verdict: Verdict, response: str) -> float:
        """Wrong answers earn nothing by being short."""
        return accuracy(verdict) * min(1.0, max(0.0, 2 - len(response) / self.limit))


@dataclass(frozen=True)
class Weighted:
    """The sum of parts, each times its weight."""

    parts: tuple[tuple[float, Reward], ...]

    def __call__(self, verdict: Verdict, response: str) -> float:
        """From 0 to the sum of the weights."""
        return sum(weight * part(verdict, response) for weight, part in self.parts)


def parse(text: str) -> Reward:
    """The reward that a text spells; a `UserError` says what is wrong with it."""
    terms = [_term(term, text) for term in text.replace(" ", "").split("+")]
    total = sum(weight for weight, _ in terms)
    if total > 1 + 1e-9:
        raise UserError(f"reward={text}: the weights add up to {total:g}; make it at most 1")
    if sum(weight for weight, part in terms if part is accuracy) <= 0.5:
        raise UserError(
            f"reward={text}: accuracy weighs half or less; give it more, because a reward above "
            "0.5 is what trackers count as success"
        )
    return accuracy if len(terms) == 1 and terms[0][0] == 1 else Weighted(tuple(terms))


def _term(term: str, text: str) -> tuple[float, Reward]:
    found = _TERM.fullmatch(term)
    if found is None:
        raise UserError(
            f"reward={text}: {term!r} is no part; write them as 0.9*accuracy+0.1*format"
        )
    weight, name, limit = found["weight"], found["name"], found["limit"]
    return float(weight or 1), _part(name, limit, text)


def _part(name: str, limit: str | None, text: str) -> Reward:
    if name == "length" and limit is not None:
        return Brevity(int(limit))
    if name in ("accuracy", "format") and limit is None:
        return accuracy if name == "accuracy" else well_formed
    raise UserError(
        f"reward={text}: there is no part {name}{':' + limit if limit else ''}; "
        "there are accuracy, format and length:CHARACTERS"
    )
