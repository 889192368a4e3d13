"""Racing: may an arm that clearly loses stop getting seeds? A rule that holds whenever one looks.

Looking at a t-test after every seed calls equal arms different far too often. The e-value here is a
test martingale of the data up to their scale (arXiv 2310.03722): under equal arms with normal
differences it exceeds 1 / alpha at *any* time with probability alpha at most, so one may look after
every seed. The price is power: it pays from about eight seeds on.

The rule is fixed before the start: each arm against one declared baseline, in the order of the
seeds, out at E >= (arms - 1) / alpha with a negative mean. It reads final accuracies only; what a
learning curve looks like never stops an arm.
"""

from collections.abc import Sequence
from itertools import count
from math import sqrt
from typing import NamedTuple

from mssr_rl.errors import UserError

ALPHA = 0.025  # the race's half of 5 %; the verdict over what is left has the other


class RaceStanding(NamedTuple):
    """An arm in the race against the baseline."""

    e_value: float  # after the seeds so far, or when it was dropped
    threshold: float
    out_after: int | None  # the number of seeds after which it was dropped


def e_value(differences: Sequence[float]) -> float:
    """E of the differences a - b so far; 1 after one seed, large where they are surely not 0.

    With S = sum d, V = sum d^2: sqrt(1 / (n + 1)) * ((n + 1) V / ((n + 1) V - S^2))^(n / 2).
    """
    n, total = len(differences), sum(differences)
    squares = sum(d * d for d in differences)
    if squares == 0:
        return sqrt(1 / (n + 1))
    whole = (n + 1) * squares
    return float(sqrt(1 / (n + 1)) * (whole / (whole - total * total)) ** (n / 2))


def threshold(arms: int) -> float:
    """What E must reach: the race's alpha is shared by the arms that run against the baseline."""
    return (arms - 1) / ALPHA


def standing(differences: Sequence[float], arms: int) -> RaceStanding:
    """Where an arm stands; `differences` are arm - baseline by seed, in the order they were run."""
    limit = threshold(arms)
    for n in range(1, len(differences) + 1):
        seen = differences[:n]
        if sum(seen) < 0 and e_value(seen) >= limit:
            return RaceStanding(e_value(seen), limit, n)
    return RaceStanding(e_value(differences), limit, None)


def earliest(arms: int) -> int:
    """The number of seeds before which no arm can be dropped, however it loses."""
    return next(n for n in count(2) if e_value([1.0] * n) >= threshold(arms))


def check_race(arms: int, seeds: int) -> None:
    """Refuse a race that nobody could lose."""
    if arms < 2:
        raise UserError("race=true with one arm: there is nobody to race against")
    first = earliest(arms)
    if seeds <= first:
        raise UserError(
            f"race=true with {arms} arms and seeds={seeds}: no arm can be dropped before it has "
            f"lost {first} seeds, so nothing would be saved; ask for at least {first + 1} seeds, "
            "or race=false"
        )
