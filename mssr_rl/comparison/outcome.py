"""The result of checking a comparison's folder."""

from collections.abc import Sequence
from typing import NamedTuple


class Outcome(NamedTuple):
    """The result of a check, as sentences: faults, passed checks, and checks not made."""

    faults: tuple[str, ...] = ()
    checked: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    """Return one outcome with the sentences of all outcomes."""
    return Outcome(*(tuple(line for one in outcomes for line in one[i]) for i in range(3)))
