"""How often training collapsed: a share of few runs, so its interval and its test are exact."""

from scipy import stats

from mssr_rl.stats.intervals import Interval


def rate(events: int, runs: int) -> Interval:
    """Clopper and Pearson's 95 % interval: 0 of 5 still allows 52 %; [0, 1] without any run."""
    if runs == 0:
        return Interval(0.0, 0.0, 1.0)
    found = stats.binomtest(events, runs).proportion_ci(confidence_level=0.95, method="exact")
    return Interval(events / runs, float(found.low), float(found.high))


def rates_differ(a: tuple[int, int], b: tuple[int, int]) -> float:
    """Fisher's exact p for two (events, runs): 4 of 5 against 0 of 5 is 0.048, 3 of 5 is 0.17."""
    table = [[events, runs - events] for events, runs in (a, b)]
    return float(stats.fisher_exact(table).pvalue)
