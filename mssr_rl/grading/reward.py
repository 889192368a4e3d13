"""Turn a verdict of `verify` into the reward that a policy is trained on.

A reward is a weighted sum of parts, each from 0 to 1, and is set by `env.reward`:

    accuracy                                     the default (MSSR: format weight 0)
    0.9*accuracy + 0.1*format                    EasyR1's default
    0.8*accuracy + 0.1*format + 0.1*length:400   adds a part for short right answers (characters)
    random                                       0 or 1 by chance in training, whatever the answer:
                                                 a control, drawn by `mssr_rl.envs.visits`

The weights add up to at most 1, and accuracy weighs more than half. So a right answer in the right
format gets more than 0.5, and any other response less. Experiment trackers count successes by this.
The accuracy in evaluations comes from the verdict, whatever the reward is.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from mssr_rl.errors import UserError
from mssr_rl.grading.verify import Verdict

Reward = Callable[[Verdict, str], float]  # (verdict, response) -> reward
RANDOM = "random"

_TERM = re.compile(r"(?:(?P<weight>\d*\.?\d+)\*)?(?P<name>[a-z]+)(?::(?P<limit>[1-9]\d*))?")


def accuracy(verdict: Verdict, response: str = "") -> float:  # noqa: ARG001
    """Return 1 for a right answer in the right format, else 0."""
    return float(verdict.correct)


def well_formed(verdict: Verdict, response: str = "") -> float:  # noqa: ARG001
    """Return 1 if the response has a think block and a readable box, right or wrong; else 0."""
    return float(verdict.reason in ("correct", "wrong"))


@dataclass(frozen=True)
class Brevity:
    """A part of the reward for short right answers.

    It is 1 up to `limit` characters, and falls to 0 at twice as many.
    """

    limit: int

    def __call__(self, verdict: Verdict, response: str) -> float:
        """Return this part of the reward. A wrong answer gets 0, however short it is."""
        return accuracy(verdict) * min(1.0, max(0.0, 2 - len(response) / self.limit))


@dataclass(frozen=True)
class Weighted:
    """A reward that is the weighted sum of its parts."""

    parts: tuple[tuple[float, Reward], ...]

    def __call__(self, verdict: Verdict, response: str) -> float:
        """Return the reward, between 0 and the sum of the weights."""
        return sum(weight * part(verdict, response) for weight, part in self.parts)


def parse(text: str) -> Reward:
    """Return the reward that the text of `env.reward` describes.

    Raises UserError if the text is not valid.
    """
    terms = [_term(term, text) for term in text.replace(" ", "").split("+")]
    total = sum(weight for weight, _ in terms)
    # Sums of decimal fractions are not exact in floats.
    if total > 1 + 1e-9:
        raise UserError(f"reward={text}: the weights add up to {total:g}; make it at most 1")
    if sum(weight for weight, part in terms if part is accuracy) <= 0.5:
        raise UserError(
            f"reward={text}: accuracy weighs half or less; give it more, because a reward above "
            "0.5 is what trackers count as success"
        )
    return accuracy if len(terms) == 1 and terms[0][0] == 1 else Weighted(tuple(terms))


def _term(term: str, text: str) -> tuple[float, Reward]:
    match = _TERM.fullmatch(term)
    if match is None:
        raise UserError(
            f"reward={text}: {term!r} is not a part; write parts as 0.9*accuracy+0.1*format"
        )
    weight, name, limit = match["weight"], match["name"], match["limit"]
    return float(weight or 1), _part(name, limit, text)


def _part(name: str, limit: str | None, text: str) -> Reward:
    if name == "length" and limit is not None:
        return Brevity(int(limit))
    if name in ("accuracy", "format") and limit is None:
        return accuracy if name == "accuracy" else well_formed
    raise UserError(
        f"reward={text}: there is no part {name}{':' + limit if limit else ''}; "
        "there are accuracy, format and length:CHARACTERS, or random alone"
    )
