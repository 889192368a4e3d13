"""What an algorithm believes about the problems, found in its state: for the lens and for SPO."""

from typing import Any

from mssr_rl.advantage.drift import Drifted
from mssr_rl.advantage.tracker import Beliefs


def find_beliefs(state: Any) -> Beliefs | Drifted | None:
    """The beliefs inside an algorithm's state, None if it tracks nothing."""
    if isinstance(state, Beliefs | Drifted):
        return state
    parts = state if isinstance(state, tuple) else ()
    return next((found for found in map(find_beliefs, parts) if found is not None), None)
