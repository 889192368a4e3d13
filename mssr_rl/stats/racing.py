"""Racing: a rule that gives no more seeds to an arm that clearly loses. It is valid at any time.

A t-test after every seed finds a difference between equal arms far too often. The e-value used here
is a test martingale that does not depend on the scale of the data (arXiv 2310.03722). If the arms
are equal and their differences normal, it exceeds 1 / alpha at *any* time with probability at most
alpha. So it may be tested after every seed. The disadvantage is less power: racing saves work only
from about eight seeds on.

The rule is fixed before the start. Each arm runs against one declared baseline, in the order of the
seeds. It is dropped when E >= (arms - 1) / alpha and its mean difference is negative. Only final
accuracies count; the shape of a learning curve never stops an arm.
"""

from collections.abc import Sequence
from itertools import count
from math import sqrt
from typing import NamedTuple

from mssr_rl.errors import UserError

ALPHA = 0.025  # half of 5 %; the verdicts on the remaining arms use the other half


class RaceStanding(NamedTuple):
    """The state of one arm in its race against the baseline."""

    e_value: float  # after the seeds so far, or when the arm was dropped
    threshold: float
    out_after: int | None  # the number of seeds after which it was dropped


def e_value(differences: Sequence[float]) -> float:
    """Return the e-value of the differences a - b so far; a large E is evidence against mean 0.

    With S = sum d, V = sum d^2: sqrt(1 / (n + 1)) * ((n + 1) V / ((n + 1) V - S^2))^(n / 2). It is
    1 after one seed.
    """
    n, total = len(differences), sum(differences)
    squares = sum(d * d for d in differences)
    # Without any difference the ratio below is 0 / 0; it counts as 1.
    if squares == 0:
        return sqrt(1 / (n + 1))
    whole = (n + 1) * squares
    return float(sqrt(1 / (n + 1)) * (whole / (whole - total * total)) ** (n / 2))


def threshold(arms: int) -> float:
    """Return the e-value at which an arm is dropped.

    It grows with the number of arms, because they share the race's alpha.
    """
    return (arms - 1) / ALPHA


def standing(differences: Sequence[float], arms: int) -> RaceStanding:
    """Return an arm's state in the race.

    `differences` are arm - baseline, one per seed in training order.
    """
    limit = threshold(arms)
    for n in range(1, len(differences) + 1):
        seen = differences[:n]
        if sum(seen) < 0 and e_value(seen) >= limit:
            return RaceStanding(e_value(seen), limit, n)
    return RaceStanding(e_value(differences), limit, None)


def earliest(arms: int) -> int:
    """Return the smallest number of seeds after which an arm can be dropped."""
    return next(n for n in count(2) if e_value([1.0] * n) >= threshold(arms))


def check_race(arms: int, seeds: int) -> None:
    """Raise `UserError` if no arm could be dropped before the last seed of the race."""
    if arms < 2:
        raise UserError("race=true needs at least two arms, and there is one")
    first = earliest(arms)
    if seeds <= first:
        raise UserError(
            f"race=true with {arms} arms and seeds={seeds}: no arm can be dropped before it has "
            f"lost {first} seeds, so nothing would be saved; ask for at least {first + 1} seeds, "
            "or race=false"
        )
