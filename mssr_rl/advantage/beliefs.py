"""Finds the success rates that an algorithm tracks in its state. The lens and SPO use them."""

from typing import Any

from mssr_rl.advantage.averages import FadedCounts
from mssr_rl.advantage.drift import Drifted
from mssr_rl.advantage.tracker import Beliefs


def find_beliefs(state: Any) -> Beliefs | Drifted | FadedCounts | None:
    """Return the tracked success rates inside an algorithm's state; None if it tracks none."""
    if isinstance(state, Beliefs | Drifted | FadedCounts):
        return state
    parts = state if isinstance(state, tuple) else ()
    return next((beliefs for beliefs in map(find_beliefs, parts) if beliefs is not None), None)
