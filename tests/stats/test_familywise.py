"""One family of words: the adjustment by hand, and what it keeps in simulated reports."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssr_rl.stats.familywise import Both, EnvironmentValues, Stage, adjusted, decided, decisions
from mssr_rl.stats.sequential import Analysis, reached
from mssr_rl.stats.verdict import Rule, Values, compare_values, holm

SEEDS = range(5)
FIRST = Analysis(1, 5, 0.046)
P = st.floats(0, 1)
PAIRS = [(f"a{i}", f"a{j}") for i in range(5) for j in range(i + 1, 5)]


def by_seed(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def test_one_pair_needs_no_adjustment() -> None:
    assert adjusted({"x": Both(0.03, 0.4)}) == {"x": Both(0.03, 0.4)}


def test_three_pairs_by_hand() -> None:
    # Sorted: y's difference 0.004, x's 0.01, y's equivalence 0.02, then z's 0.03 with two pairs
    # open (both of y's questions are answered), z's 0.5, x's 0.9 with one.
    found = adjusted({"x": Both(0.01, 0.9), "y": Both(0.004, 0.02), "z": Both(0.03, 0.5)})
    assert found["y"] == pytest.approx((0.012, 0.06))
    assert found["x"] == pytest.approx((0.03, 1.0))
    assert found["z"] == pytest.approx((0.06, 1.0))


@given(st.lists(st.tuples(P, P), min_size=1, max_size=8))
def test_an_adjusted_p_lies_between_the_plain_one_and_bonferronis(
    p: list[tuple[float, float]],
) -> None:
    found = adjusted({i: Both(*both) for i, both in enumerate(p)})
    for i, both in enumerate(p):
        for plain, now in zip(both, found[i], strict=True):
            assert plain - 1e-12 <= now <= min(1.0, len(p) * plain) + 1e-12


@given(st.lists(P, min_size=1, max_size=8))
def test_it_is_never_kinder_than_holm_on_one_question(p: list[float]) -> None:
    found = adjusted({i: Both(x, 1.0) for i, x in enumerate(p)})
    assert all(found[i].difference >= x - 1e-12 for i, x in enumerate(holm(p)))


def simulated(rng: np.random.Generator, means: list[float]) -> Values:
    accuracy_AK = 0.5 + np.array(means)[:, None] + rng.normal(0, 0.02, (len(means), len(SEEDS)))
    return {f"a{i}": dict(enumerate(row)) for i, row in enumerate(accuracy_AK.tolist())}


def wrong_words(means: list[float], envs: int, reports: int) -> float:
    """In how many simulated reports some word contradicts the true differences."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(reports):
        asked = {
            str(env): EnvironmentValues(simulated(rng, means), PAIRS, 1e-3) for env in range(envs)
        }
        found = decisions(asked, FIRST, SEEDS, margin=0.01)
        wrong += any(_false(means, key, one.verdict) for key, one in found.items())
    return wrong / reports


def _false(means: list[float], key: tuple[str, str, str], word: str) -> bool:
    true = means[int(key[1][1:])] - means[int(key[2][1:])]
    return {
        "better": true <= 0,
        "worse": true >= 0,
        "equivalent": abs(true) >= 0.01,
        "inconclusive": False,
    }[word]


@pytest.mark.slow
@pytest.mark.parametrize("envs", [1, 9])
def test_equal_arms_on_any_number_of_environments_stay_below_5_percent(envs: int) -> None:
    assert wrong_words([0.0] * 5, envs, 200) <= 0.05


@pytest.mark.slow
def test_words_of_both_kinds_together_stay_below_5_percent() -> None:
    """Two equal groups of arms, apart by more than can be missed, and one at the margin."""
    assert wrong_words([0.0, 0.0, 0.01, 0.3, 0.3], 1, 300) <= 0.05


def test_a_clear_pair_is_decided_and_the_fixed_reading_stays_beside_it() -> None:
    low, high = by_seed(0.50, 0.51, 0.52, 0.50, 0.51), by_seed(0.58, 0.60, 0.59, 0.58, 0.60)
    found = compare_values({"a": high, "b": low}, 1e-3, Rule())
    stage = Stage(5, reached(5, 5, 0.05), tuple(SEEDS))
    (pair,) = decided({"one": found}, {"one": 1e-3}, stage)["one"].pairs
    assert (pair.verdict, pair.fixed) == ("better", "better")
    assert pair.decision is not None
    assert pair.decision.p == pytest.approx(pair.test.p if pair.test else None)
    assert "look 1, 5 seeds, requires p below 0.046" in pair.why


def test_the_same_numbers_at_a_second_look_are_not_enough() -> None:
    """P = 0.016: below the 0.046 of a planned look, above the 0.002 of the one after it."""
    low = by_seed(0.50, 0.51, 0.52, 0.50, 0.51, 0.5)
    high = by_seed(0.53, 0.52, 0.53, 0.51, 0.51, 0.54)
    found = compare_values({"a": high, "b": low}, 1e-3, Rule())
    words = []
    for planned in (6, 3):
        stage = Stage(planned, reached(6, planned, 0.05), tuple(range(6)))
        (pair,) = decided({"one": found}, {"one": 1e-3}, stage)["one"].pairs
        words.append((pair.verdict, pair.fixed))
    assert words == [("better", "better"), ("inconclusive", "better")]


def test_before_the_planned_seeds_there_is_no_word() -> None:
    low, high = by_seed(0.50, 0.51, 0.52, 0.50), by_seed(0.58, 0.60, 0.59, 0.58)
    found = compare_values({"a": high, "b": low}, 1e-3, Rule())
    (pair,) = decided({"one": found}, {"one": 1e-3}, Stage(5, None, ()))["one"].pairs
    assert (pair.verdict, pair.fixed, pair.decision) == ("inconclusive", "better", None)
    assert pair.why.startswith("no verdict yet: it needs all runs of the first 5 seeds")


def test_between_looks_the_word_is_that_of_the_looks_own_seeds() -> None:
    low = by_seed(*[0.50, 0.51, 0.52], *[0.9] * 2)
    high = by_seed(*[0.58, 0.60, 0.59], *[0.1] * 2)
    found = compare_values({"a": high, "b": low}, 1e-3, Rule())
    stage = Stage(3, reached(5, 3, 0.05), range(3))
    (pair,) = decided({"one": found}, {"one": 1e-3}, stage)["one"].pairs
    assert (pair.verdict, pair.fixed) == ("better", "inconclusive")
    assert pair.decision is not None
    assert pair.decision.seeds == 3
    assert len(pair.seeds) == 5
