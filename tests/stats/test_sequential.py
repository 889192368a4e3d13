"""When a growing comparison is judged: the looks by hand, and what they spend together."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssr_rl.stats.sequential import following, looks, reached


def test_the_looks_of_five_planned_seeds() -> None:
    found = list(islice(looks(5, 0.05), 4))
    assert [(look.number, look.seeds) for look in found] == [(1, 5), (2, 10), (3, 20), (4, 40)]
    assert [look.level for look in found] == pytest.approx([0.046, 0.002, 0.001, 0.0005])


@given(st.integers(1, 50), st.floats(0.001, 0.2))
def test_all_looks_together_spend_no_more_than_alpha(planned: int, alpha: float) -> None:
    spent = sum(look.level for look in islice(looks(planned, alpha), 60))
    assert 0.99 * alpha < spent <= alpha * (1 + 1e-12)


def test_one_or_two_planned_seeds_are_first_judged_at_three() -> None:
    for planned in (1, 2, 3):
        assert reached(2, planned, 0.05) is None
        first = reached(3, planned, 0.05)
        assert first is not None
        assert (first.number, first.seeds) == (1, 3)


@given(st.integers(1, 20), st.integers(0, 200))
def test_between_looks_the_last_one_stands(planned: int, complete: int) -> None:
    look, after = reached(complete, planned, 0.05), following(complete, planned, 0.05)
    assert after.seeds > complete
    assert after.number == (look.number if look else 0) + 1
    assert look is None or look.seeds <= complete < 2 * look.seeds == after.seeds
