"""The sentence of a pair, word for word."""

from mssr_rl.stats.sentences import sentence, underpowered
from mssr_rl.stats.verdict import Comparison, Rule, compare_values

RULE = Rule()
AT = "2,048 rollouts"
BASE = (0.50, 0.52, 0.55, 0.51, 0.53)


def against_base(*change: float) -> Comparison:
    arm = {s: b + c for s, (b, c) in enumerate(zip(BASE, change, strict=False))}
    return compare_values({"mssr": arm, "grpo": dict(enumerate(BASE))}, 1 / 512, RULE)


def said(*change: float) -> str:
    return sentence(against_base(*change).pairs[0], RULE, AT)


def test_an_inconclusive_pair_says_what_would_decide_it() -> None:
    assert said(0.01, -0.01, 0.02, 0.00, 0.01) == (
        "mssr and grpo: inconclusive at 2,048 rollouts (+0.6 points, 95 % interval −0.8 to +2.0; "
        "detecting 1 point takes about 13 seeds in all, 95 % interval 6 to 87)"
    )


def test_a_clear_pair_says_by_how_much() -> None:
    assert said(0.05, 0.06, 0.05, 0.07, 0.05) == (
        "mssr is better than grpo at 2,048 rollouts (+5.6 points, 95 % interval +4.5 to +6.7)"
    )
    assert said(-0.05, -0.06, -0.05, -0.07, -0.05).startswith("mssr is worse than grpo at")


def test_an_equivalent_pair_names_the_margin() -> None:
    assert said(0, 0, 0, 0, 0).startswith(
        "mssr and grpo: equivalent within 1 point at 2,048 rollouts (+0.0 points"
    )


def test_one_seed_says_why_it_says_nothing() -> None:
    assert said(0.2) == (
        "mssr and grpo: inconclusive at 2,048 rollouts (one seed in common: one training of each "
        "says nothing about the spread over trainings; at least 3 common seeds are needed)"
    )


def test_a_comparison_that_could_not_have_shown_five_points_is_named() -> None:
    assert underpowered(against_base(0.2, -0.2)) != []
    assert underpowered(against_base(0.01, -0.01, 0.02, 0.00, 0.01)) == []
