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
from math import sqrt
from typing import NamedTuple

from mssr_rl.errors import UserError

FEWEST_SEEDS = 6  # at five, E cannot pass 36


class Standing(NamedTuple):
    """An arm in the race against the baseline."""

    e_value: float  # after the seeds so far
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


def standing(differences: Sequence[float], arms: int, alpha: float = 0.05) -> Standing:
    """Where an arm stands; `differences` are arm - baseline by seed, in the order they were run."""
    threshold = (arms - 1) / alpha
    for n in range(1, len(differences) + 1):
        seen = differences[:n]
        if sum(seen) < 0 and e_value(seen) >= threshold:
            return Standing(e_value(seen), threshold, n)
    return Standing(e_value(differences), threshold, None)


def check(seeds: int) -> None:
    """Refuse a race that nobody could lose."""
    if seeds < FEWEST_SEEDS:
        raise UserError(
            f"race=true with seeds={seeds}: an arm can hardly be dropped before the sixth seed, so "
            f"nothing would be saved; ask for at least {FEWEST_SEEDS} seeds, or race=false"
        )
