"""The stream of problems: every epoch whole, no state but a position, the same for every arm."""

from hypothesis import given
from hypothesis import strategies as st

from mssr_rl.run.problem_stream import epoch_order, rows

seeds = st.integers(0, 2**63 - 1)


@given(seeds, st.integers(0, 5), st.integers(1, 300))
def test_an_epoch_holds_every_problem_once(seed: int, epoch: int, size: int) -> None:
    assert sorted(epoch_order(seed, epoch, size)) == list(range(size))


@given(seeds, st.integers(1, 40), st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_batches_of_any_size_read_one_continuous_stream(
    seed: int, size: int, batches: list[int]
) -> None:
    position, read = 0, []
    for count in batches:
        read += rows(seed, size, position, count)
        position += count
    assert read == rows(seed, size, 0, sum(batches))


def test_a_batch_may_cross_an_epoch_border_and_hold_a_problem_twice() -> None:
    batch = rows(seed=3, num_problems=4, start=2, count=5)
    assert batch[:2] == list(epoch_order(3, 0, 4))[2:]
    assert batch[2:] == list(epoch_order(3, 1, 4))[:3]
    assert len(set(batch)) < len(batch)


def test_arms_with_different_group_sizes_see_the_same_problems_in_the_same_order() -> None:
    single = [row for step in range(2) for row in rows(0, 100, step * 64, 64)]
    grouped = [row for step in range(16) for row in rows(0, 100, step * 8, 8)]
    assert single == grouped


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {epoch_order(seed, epoch, 50) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_the_order_is_pinned_so_that_old_runs_can_be_resumed() -> None:
    assert rows(seed=0, num_problems=10, start=0, count=12) == PINNED


PINNED = [8, 4, 9, 1, 2, 0, 5, 6, 7, 3, 5, 7]
