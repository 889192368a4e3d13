"""Second opinions: McNemar by hand and by scipy, bootstraps, families."""

import numpy as np
import pytest
from scipy import stats

from mssr_rl.stats.questions import (
    COVERAGE,
    SAYS,
    SIMULATED,
    Kind,
    bootstrap,
    family_means,
    second_opinions,
    turned,
)


def answers(*right: int) -> dict[str, float]:
    return {f"q{i}": float(x) for i, x in enumerate(right)}


A = answers(1, 1, 1, 1, 1, 1, 0, 0, 0, 1)
B = answers(0, 0, 0, 0, 0, 1, 1, 0, 0, 1)


def test_mcnemar_counts_the_questions_that_only_one_got_right() -> None:
    (found,) = second_opinions({3: A}, {3: B}).checkpoints
    assert (found.seed, found.only_a, found.only_b) == (3, 5, 1)
    assert found.p == pytest.approx(stats.binomtest(1, 6).pvalue)  # 2 * 7 / 64
    assert found.difference is not None
    assert found.difference.value == pytest.approx(0.4)


def test_checkpoints_that_answer_alike_have_nothing_to_test() -> None:
    (found,) = second_opinions({0: A}, {0: A}).checkpoints
    assert (found.only_a, found.only_b, found.p) == (0, 0, 1.0)


def test_shares_of_several_answers_have_an_interval_but_no_mcnemar() -> None:
    (found,) = second_opinions({0: {"q": 0.25, "r": 1.0}}, {0: {"q": 0.0, "r": 0.5}}).checkpoints
    assert (found.only_a, found.only_b, found.p) == (None, None, None)
    assert found.difference is not None
    assert found.difference.value == pytest.approx(0.375)


def test_the_order_of_the_questions_does_not_matter() -> None:
    backwards = dict(reversed(B.items()))
    assert second_opinions({0: A, 1: A, 2: A}, {0: B, 1: B, 2: B}) == second_opinions(
        {0: A, 1: A, 2: A}, {0: backwards, 1: B, 2: B}
    )


def test_below_three_seeds_there_is_nothing_to_resample() -> None:
    assert second_opinions({0: A}, {0: B}).bootstraps == ()
    assert second_opinions({0: A, 1: A}, {0: B, 1: B}).bootstraps == ()


@pytest.mark.parametrize("kind", SAYS)
def test_a_bootstrap_is_labelled_with_its_measured_coverage(kind: Kind) -> None:
    d_KN = np.random.default_rng(0).normal(0.1, 1, (5, 300))
    found = bootstrap(d_KN, kind)
    assert found.interval.value == pytest.approx(d_KN.mean())
    assert found.interval.low < d_KN.mean() < found.interval.high
    assert found.measured_at == (5, 300)
    assert found.coverage == COVERAGE[kind][SIMULATED.index((5, 300))]


def test_a_label_is_that_of_the_nearest_simulated_size() -> None:
    d_KN = np.zeros((6, 1400))
    assert bootstrap(d_KN, "both", draws=10).measured_at == (5, 1000)
    assert bootstrap(np.zeros((40, 9)), "both", draws=10).measured_at == (10, 300)


def test_each_bootstrap_resamples_what_it_says() -> None:
    by_seed = np.array([[0.0], [1.0]]).repeat(50, 1)  # seeds differ, questions do not
    by_question = by_seed.T.copy()
    width = {
        (kind, d.shape[0]): np.ptp(bootstrap(d, kind).interval[1:])
        for kind in SAYS
        for d in (by_seed, by_question)
    }
    assert width["questions", 2] == 0
    assert width["seeds", 2] == pytest.approx(1)
    assert width["both", 2] == pytest.approx(1)
    assert width["questions", 50] == pytest.approx(1)
    assert width["seeds", 50] == pytest.approx(0, abs=1e-9)


def test_bootstrapping_seeds_agrees_with_scipy() -> None:
    d_KN = np.random.default_rng(1).normal(0.2, 1, (10, 200))
    theirs = stats.bootstrap(
        (d_KN.mean(1),), np.mean, method="percentile", n_resamples=20_000, rng=0
    ).confidence_interval
    ours = bootstrap(d_KN, "seeds", draws=20_000).interval
    assert ours[1:] == pytest.approx(theirs, abs=0.004)  # 20,000 draws of a quantile


def test_a_bootstrap_says_the_same_twice() -> None:
    d_KN = np.random.default_rng(2).normal(0, 1, (3, 40))
    assert bootstrap(d_KN, "both") == bootstrap(d_KN, "both")


def test_opinions_turn_round_with_their_pair() -> None:
    found = second_opinions({0: A, 1: A, 2: A}, {0: B, 1: B, 2: B})
    back = turned(found)
    assert back.checkpoints[0].only_a == found.checkpoints[0].only_b
    assert back.bootstraps[0].interval.low == -found.bootstraps[0].interval.high
    assert turned(back) == found


def test_questions_of_one_family_count_once() -> None:
    right = {"p1-a": 1.0, "p1-b": 0.0, "p2-a": 1.0}
    assert family_means(right, lambda key: key.partition("-")[0]) == {"p1": 0.5, "p2": 1.0}
