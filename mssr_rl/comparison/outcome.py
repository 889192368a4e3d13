"""What a check of a comparison's folder comes to."""

from collections.abc import Sequence
from typing import NamedTuple


class Outcome(NamedTuple):
    """Sentences: what is false, what was checked and holds, what was not checked and why."""

    faults: tuple[str, ...] = ()
    checked: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    """All of them as one."""
    return Outcome(*(tuple(line for one in outcomes for line in one[i]) for i in range(3)))
