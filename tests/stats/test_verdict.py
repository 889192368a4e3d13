"""The word for every pair: each one where it is the only right one, and what it rests on."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from mssr_rl.errors import UserError
from mssr_rl.stats.verdict import (
    OPPOSITE,
    Comparison,
    Rule,
    Values,
    compare_arms,
    compare_values,
    decide,
    differences,
    holm,
)

RULE = Rule()
GRID = 1 / 512


def by_seed(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def word(a: dict[int, float], b: dict[int, float], rule: Rule = RULE) -> str:
    return compare_values({"a": a, "b": b}, GRID, rule).pair("a", "b").verdict


# ---- the four words ----


def test_better_and_worse_need_seeds_that_agree() -> None:
    low, high = by_seed(0.50, 0.51, 0.52, 0.50, 0.51), by_seed(0.58, 0.60, 0.59, 0.58, 0.60)
    assert word(high, low) == "better"
    assert word(low, high) == "worse"


def test_the_same_mean_difference_is_inconclusive_where_seeds_disagree() -> None:
    assert word(by_seed(0.40, 0.75, 0.45, 0.70, 0.55), by_seed(0.5, 0.5, 0.5, 0.5, 0.5)) == (
        "inconclusive"
    )


def test_equivalent_needs_differences_below_the_margin_and_their_spread_too() -> None:
    base = by_seed(0.50, 0.52, 0.55, 0.51, 0.53)
    near = {seed: x + (0.002 if seed % 2 else -0.002) for seed, x in base.items()}
    assert word(near, base) == "equivalent"
    assert word(near, base, Rule(margin=0.002)) == "inconclusive"


def test_a_small_difference_is_equivalent_even_where_it_is_significant() -> None:
    base = by_seed(0.50, 0.52, 0.55, 0.51, 0.53)
    above = {seed: x + 0.003 + 0.0001 * seed for seed, x in base.items()}
    pair = compare_values({"a": above, "b": base}, GRID, RULE).pair("a", "b")
    assert pair.test is not None
    assert pair.test.p < 0.05
    assert pair.verdict == "equivalent"


def test_one_seed_never_gives_a_verdict() -> None:
    pair = compare_values({"a": {0: 0.9}, "b": {0: 0.1}}, GRID, RULE).pair("a", "b")
    assert (pair.verdict, pair.test, pair.outlook) == ("inconclusive", None, None)
    assert pair.why.startswith("one seed in common: one training of each says nothing about")


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_pair_turned_round_gets_the_opposite_word(mean: float, p: float, q: float) -> None:
    if mean != 0:
        assert decide(-mean, p, q, 0.05) == OPPOSITE[decide(mean, p, q, 0.05)]


# ---- degenerate arms ----


def test_arms_that_are_the_same_in_every_seed_are_equivalent() -> None:
    same = by_seed(0.50, 0.53, 0.51, 0.56, 0.52)
    pair = compare_values({"a": same, "b": dict(same)}, GRID, RULE).pair("a", "b")
    assert pair.verdict == "equivalent"
    assert pair.differences == (0.0,) * 5


def test_arms_without_any_spread_are_told_apart() -> None:
    assert word(by_seed(*[0.6] * 5), by_seed(*[0.5] * 5)) == "better"


def test_a_collapsed_arm_stays_in_and_loses() -> None:
    found = compare_values(
        {
            "fell": by_seed(0.0, 0.02, 0.0, 0.01, 0.0),
            "stood": by_seed(0.50, 0.52, 0.55, 0.51, 0.53),
            "too": by_seed(0.51, 0.50, 0.53, 0.52, 0.50),
        },
        GRID,
        RULE,
    )
    assert [arm.name for arm in found.arms] == ["stood", "too", "fell"]
    assert found.pair("fell", "stood").verdict == "worse"
    assert found.pair("too", "fell").verdict == "better"


def test_one_collapsed_seed_of_five_makes_the_pair_inconclusive() -> None:
    base = by_seed(0.50, 0.52, 0.55, 0.51, 0.53)
    assert word({**{s: x + 0.05 for s, x in base.items()}, 2: 0.0}, base) == "inconclusive"


def test_seeds_that_only_one_arm_has_are_named_and_not_used() -> None:
    a, b = {0: 0.5, 1: 0.6, 2: 0.7, 7: 0.9}, {0: 0.4, 1: 0.5, 2: 0.6, 9: 0.1}
    pair = compare_values({"a": a, "b": b}, GRID, RULE).pair("a", "b")
    assert (pair.seeds, pair.unpaired) == ((0, 1, 2), (7, 9))
    assert pair.differences == pytest.approx((0.1, 0.1, 0.1))


def test_arms_without_common_seeds_are_inconclusive() -> None:
    pair = compare_values({"a": {0: 0.5, 1: 0.6}, "b": {2: 0.4}}, GRID, RULE).pair("a", "b")
    assert pair.verdict == "inconclusive"
    assert pair.why.startswith("no seed in common")


def test_a_difference_ends_at_100_points() -> None:
    pair = compare_values({"a": by_seed(0.9, 0.4), "b": by_seed(0.1, 0.3)}, GRID, RULE).pairs[0]
    assert pair.test is not None
    assert (pair.test.interval.low, pair.test.interval.high) == (-1.0, 1.0)


# ---- several arms ----


def three(rule: Rule) -> Comparison:
    values: Values = {
        "a": by_seed(0.50, 0.52, 0.55, 0.51, 0.53),
        "b": by_seed(0.54, 0.56, 0.56, 0.55, 0.58),
        "c": by_seed(0.52, 0.51, 0.57, 0.50, 0.56),
    }
    return compare_values(values, GRID, rule)


def test_every_pair_is_tested_and_adjusted_by_holm() -> None:
    found = three(RULE)
    assert [(p.a, p.b) for p in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    tests = [pair.test for pair in found.pairs if pair.test is not None]
    ours = [test.p_holm for test in tests]
    assert ours == pytest.approx(multipletests([t.p for t in tests], method="holm")[1].tolist())
    assert any(test.p_holm > test.p for test in tests)


def test_a_baseline_is_all_that_the_others_are_tested_against() -> None:
    found = three(Rule(baseline="b"))
    assert [(p.a, p.b) for p in found.pairs] == [("a", "b"), ("c", "b")]
    with pytest.raises(UserError, match="a and c were not compared"):
        found.pair("a", "c")


def test_holm_by_hand() -> None:
    # Sorted 0.01 * 3, 0.02 * 2, 0.04 * 1, and never less than the one before.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.3]) == [0.3]
    assert holm([]) == []


@pytest.mark.slow
def test_a_pair_looks_the_same_from_both_sides() -> None:
    one, other = three(RULE).pair("a", "b"), three(RULE).pair("b", "a")
    assert (other.a, other.b, other.verdict) == ("b", "a", OPPOSITE[one.verdict])
    assert other.differences == tuple(-d for d in one.differences)
    assert one.test is not None
    assert other.test is not None
    assert other.test.interval.low == -one.test.interval.high
    assert other.test.p == one.test.p


@pytest.mark.slow
def test_the_outlook_counts_seeds_at_the_hardest_step_of_holm() -> None:
    pair = three(RULE).pair("a", "b")
    two = compare_values(
        {name: dict(three(RULE).arms[i].values) for i, name in ((0, "b"), (2, "a"))}, GRID, RULE
    ).pair("a", "b")
    assert pair.outlook is not None
    assert two.outlook is not None
    assert pair.outlook.seeds_to_detect is not None
    assert two.outlook.seeds_to_detect is not None
    assert pair.outlook.seeds_to_detect > two.outlook.seeds_to_detect


# ---- from questions ----


def questions(seed: int, right: int) -> dict[str, float]:
    return {f"q{(i + 37 * seed) % 200}": float(i < right) for i in range(200)}


def test_accuracy_is_the_mean_over_the_questions() -> None:
    scores = {
        "a": {seed: questions(seed, 120 + 2 * seed) for seed in range(3)},
        "b": {seed: questions(seed, 100 + seed) for seed in range(3)},
    }
    found = compare_arms(scores, RULE)
    assert found.arms[0].values == pytest.approx({0: 0.60, 1: 0.61, 2: 0.62})
    pair = found.pair("a", "b")
    assert pair.differences == pytest.approx((0.10, 0.105, 0.11))
    assert pair.verdict == "better"
    assert pair.opinions is not None
    assert [c.seed for c in pair.opinions.checkpoints] == [0, 1, 2]


def test_one_seed_of_questions_speaks_of_two_checkpoints_only() -> None:
    scores = {"a": {0: questions(0, 150)}, "b": {0: questions(0, 50)}}
    pair = compare_arms(scores, RULE).pair("a", "b")
    assert pair.verdict == "inconclusive"
    assert pair.opinions is not None
    assert pair.opinions.checkpoints[0].p is not None
    assert pair.opinions.checkpoints[0].p < 1e-6
    assert pair.opinions.bootstraps == ()


def test_different_questions_are_not_comparable() -> None:
    scores = {"a": {0: {"q1": 1.0, "q2": 0.0}}, "b": {3: {"q1": 1.0, "q3": 0.0}}}
    with pytest.raises(UserError, match=r"b seed 3 and a seed 0 .* \(2 are in only one of them\)"):
        compare_arms(scores, RULE)


def test_nothing_to_compare_is_said() -> None:
    with pytest.raises(UserError, match="no evaluated questions"):
        compare_arms({"a": {}, "b": {}}, RULE)
    with pytest.raises(UserError, match="b has no run with a score"):
        compare_values({"a": {0: 0.5}, "b": {}}, GRID, RULE)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (Rule(baseline="c"), "baseline=c is not among the arms; they are a, b"),
        (Rule(margin=0), "the margin must be above 0"),
        (Rule(alpha=1), "alpha between 0 and 1"),
    ],
)
def test_a_rule_that_cannot_be_kept_is_refused(rule: Rule, says: str) -> None:
    with pytest.raises(UserError, match=says):
        compare_values({"a": {0: 0.5}, "b": {0: 0.5}}, GRID, rule)


@given(
    st.dictionaries(st.integers(0, 9), st.floats(0, 1)),
    st.dictionaries(st.integers(0, 9), st.floats(0, 1)),
)
def test_differences_are_of_common_seeds_in_order(a: dict[int, float], b: dict[int, float]) -> None:
    assert differences(a, b) == tuple(a[s] - b[s] for s in range(10) if s in a and s in b)


def test_the_report_of_a_single_run_needs_no_scipy() -> None:
    script = "import sys, mssr_rl.stats; assert not {'scipy', 'statsmodels'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
