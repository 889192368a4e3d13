"""Test the verdicts in hard cases: repeated looks, many environments, few seeds, other noise.

This is the second half of the output of `python -m mssr_rl.stats.simulation`. A run is a single
number here, its accuracy, with a standard deviation of 2 points over seeds. So thousands of
comparisons take seconds. `simulation` simulates the single questions.

Shapes: R simulated comparisons, A arms, K seeds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, islice, takewhile
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from mssr_rl.stats.familywise import EnvironmentValues, decisions
from mssr_rl.stats.intervals import Z95, Interval, clustered
from mssr_rl.stats.paired import spread, t_test
from mssr_rl.stats.power import SpreadEstimate, detectable
from mssr_rl.stats.racing import threshold
from mssr_rl.stats.rates import rate
from mssr_rl.stats.sequential import FEWEST, FIRST, Analysis, looks
from mssr_rl.stats.verdict import differences, holm

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]

ALPHA, RUN_SD, GRID, MARGIN = 0.05, 0.02, 1e-3, 0.01
SCHEDULES = ((3, 10), (2, 10), (3, 30))  # seeds at the first and at the last look
FEW_SEEDS = (3, 4, 5, 8, 10)
GROUPS = 10.0  # distance of two groups of runs, in standard deviations within a group
RARE = 0.1  # share of runs that end badly
EVERY = 0.0007  # a level for every other number of seeds: slightly more than the 5 % leave for it
MOST = 100  # largest number of seeds in the table of needed seeds
FASTER = 20  # cheap simulations run so many times as many comparisons


class Frequency(NamedTuple):
    """How often an event happened in a number of simulations."""

    times: int
    of: int

    @property
    def share(self) -> Interval:
        """The share of simulations, with its exact 95 % interval."""
        return rate(self.times, self.of)


def normal(rng: np.random.Generator, size: tuple[int, ...]) -> Array:
    """Return normally distributed results of runs, mean 0 and standard deviation 1."""
    return rng.standard_normal(size)


def two_groups(rng: np.random.Generator, size: tuple[int, ...]) -> Array:
    """Return results of runs of which half are `GROUPS` standard deviations lower; mean 0."""
    return rng.standard_normal(size) + GROUPS * ((rng.random(size) < 0.5) - 0.5)


def rare(rng: np.random.Generator, size: tuple[int, ...]) -> Array:
    """Return results of runs of which one in ten is `GROUPS` standard deviations lower; mean 0."""
    return rng.standard_normal(size) - GROUPS * ((rng.random(size) < RARE) - RARE)


def skewed(rng: np.random.Generator, size: tuple[int, ...]) -> Array:
    """Return log-normally distributed results of runs, with a long upper tail; mean 0."""
    return np.asarray(np.exp(rng.standard_normal(size)) - np.exp(0.5))


SHAPES: Mapping[str, tuple[Draw, Draw]] = {
    "bell-shaped, both arms": (normal, normal),
    "two groups, both arms": (two_groups, two_groups),
    "skewed, both arms": (skewed, skewed),
    "two groups in one arm": (two_groups, normal),
    "one bad run of ten in one arm": (rare, normal),
    "skewed in one arm": (skewed, normal),
}


def p_values(d_RK: Array) -> Array:
    """Return the two-sided p-values of the t-test after 2, 3, ..., K seeds, shape [R, K - 1]."""
    k = np.arange(1, d_RK.shape[1] + 1)
    total_RK, square_RK = d_RK.cumsum(1), (d_RK * d_RK).cumsum(1)
    variance_RK = (square_RK - total_RK**2 / k)[:, 1:] / (k[1:] - 1)
    # Equal runs have no variance, and rounding may make it negative.
    t_RK = total_RK[:, 1:] / k[1:] / np.sqrt(np.maximum(variance_RK, 1e-300) / k[1:])
    return np.asarray(2 * stdtr(k[1:] - 1, -np.abs(t_RK)))


def equal(rng: np.random.Generator, size: tuple[int, int, int]) -> Array:
    """Return random accuracies of equal arms, shape [R, A, K]."""
    return 0.5 + RUN_SD * rng.standard_normal(size)


# ---- what is simulated ----


def until_decided(
    schedule: tuple[int, int], arms: int, simulations: int
) -> tuple[Frequency, Frequency]:
    """Count the comparisons of equal arms in which some test finds a difference.

    The first count is for plain tests after every seed, each at 5 % with Holm's correction over the
    pairs. The second count is for the looks of `sequential`. `schedule` is (first, last number of
    seeds).
    """
    first, last = schedule
    rng = np.random.default_rng([first, last, arms])
    accuracy_RAK = equal(rng, (simulations, arms, last))
    pairs = list(combinations(range(arms), 2))
    p_PRK = np.stack([p_values(accuracy_RAK[:, a] - accuracy_RAK[:, b]) for a, b in pairs])
    plain_R = (len(pairs) * p_PRK.min(0)[:, first - 2 :] < ALPHA).any(1)
    our_looks = list(takewhile(lambda look: look.seeds <= last, looks(first, ALPHA)))
    ours = sum(
        any(different({"": environment}, look) for look in our_looks)
        for environment in map(_asked, accuracy_RAK)
    )
    return Frequency(int(plain_R.sum()), simulations), Frequency(ours, simulations)


def different(environments: Mapping[str, EnvironmentValues], look: Analysis) -> bool:
    """Return whether at least one pair gets the verdict better or worse."""
    decided = decisions(environments, look, range(look.seeds), MARGIN).values()
    return any(one.verdict in ("better", "worse") for one in decided)


def on_environments(envs: int, seeds: int, simulations: int) -> tuple[Frequency, Frequency]:
    """Count the comparisons of five equal arms that give at least one false verdict.

    The first count corrects each environment alone, the second all environments together.
    """
    rng = np.random.default_rng([envs, seeds])
    look = Analysis(1, seeds, FIRST * ALPHA)
    alone = together = 0
    for _ in range(simulations):
        accuracy_EAK = equal(rng, (envs, 5, seeds))
        each = [*accuracy_EAK, accuracy_EAK.mean(0)] if envs > 1 else [*accuracy_EAK]
        environments = {str(env): _asked(accuracy_AK) for env, accuracy_AK in enumerate(each)}
        alone += any(min(_holm(one)) < ALPHA for one in environments.values())
        together += different(environments, look)
    return Frequency(alone, simulations), Frequency(together, simulations)


def shaped(shape: tuple[Draw, Draw], seeds: int, simulations: int) -> Frequency:
    """Count the comparisons in which a planned look finds a difference between arms of equal means.

    `shape` holds one distribution of runs per arm.
    """
    rng = np.random.default_rng([seeds, 7])
    a_RK, b_RK = (draw(rng, (simulations, seeds)) for draw in shape)
    level = FIRST * ALPHA if seeds >= FEWEST else ALPHA  # at two seeds: the plain test
    return Frequency(int((p_values(a_RK - b_RK)[:, -1] < level).sum()), simulations)


class Power(NamedTuple):
    """The shares of comparisons in which four schemes detect a true difference.

    A difference counts as detected only with the right sign.
    """

    plain: float  # one t-test at 5 %, at this number of seeds only
    ours: float  # at this look or an earlier one
    level: float  # .046 at the planned seeds, and one level at every other number
    e_value: float  # the anytime-valid t-test, read after every seed


def found(planned: int, seeds: int, effect: float, simulations: int) -> Power:
    """Return the power at `seeds` seeds of a comparison that was planned with `planned` seeds.

    `effect` is the true difference in standard deviations.
    """
    rng = np.random.default_rng([planned, seeds])
    d_RK = effect + rng.standard_normal((simulations, seeds))
    p_RK, k = p_values(d_RK), np.arange(2, seeds + 1)
    right_RK = d_RK.cumsum(1)[:, 1:] > 0
    ours = {look.seeds: look.level for look in islice(looks(planned, ALPHA), 9)}
    ours_K = np.array([ours.get(seeds, 0.0) for seeds in k.tolist()])
    level_K = np.where(k == planned, FIRST * ALPHA, np.where(k > FEWEST, EVERY, 0.0))
    total_RK, square_RK = d_RK.cumsum(1)[:, 1:], (d_RK * d_RK).cumsum(1)[:, 1:]
    whole_RK = (k + 1) * square_RK
    e_RK = np.sqrt(1 / (k + 1)) * (whole_RK / (whole_RK - total_RK**2)) ** (k / 2)
    return Power(
        float(((p_RK < ALPHA) & right_RK)[:, -1].mean()),
        *(
            float((hit_RK & right_RK).any(1).mean())
            for hit_RK in (p_RK < ours_K, p_RK < level_K, e_RK >= 1 / ALPHA)
        ),
    )


def read_too_large(effect: float, seeds: int, simulations: int) -> tuple[Frequency, float]:
    """Return how often a difference of `effect` sd is significant, and its exaggeration then.

    The exaggeration is the mean of the significant |differences|, divided by the true difference.
    """
    rng = np.random.default_rng([seeds, 11])
    d_RK = effect + rng.standard_normal((simulations, seeds))
    decided_R = p_values(d_RK)[:, -1] < FIRST * ALPHA
    size = float(np.abs(d_RK.mean(1))[decided_R].mean() / effect) if decided_R.any() else np.nan
    return Frequency(int(decided_R.sum()), simulations), size


class SeedEstimate(NamedTuple):
    """The accuracy with which K seeds estimate the number of seeds that are needed."""

    low: float  # 2.5 % quantile of the estimates
    high: float  # 97.5 % quantile
    held: Frequency  # the printed range holds the true number
    enough: Frequency  # the report says "enough seeds" although more are needed


def needed(seeds: int, truth: int, simulations: int) -> SeedEstimate:
    """Return how well `seeds` seeds estimate the needed number of seeds, by simulation.

    `truth` is the true needed number.
    """
    # The largest standard deviation at which n seeds still detect a difference of 1.
    limit_N = np.array([1 / (detectable(1.0, n) or np.inf) for n in range(2, MOST + 1)])
    sd = 0.999 * limit_N[truth - 2]
    rng = np.random.default_rng([seeds, 13])
    seen_R = sd * np.sqrt(rng.chisquare(seeds - 1, simulations) / (seeds - 1))
    ends = np.array(SpreadEstimate(1.0, seeds).range)
    estimate_3R = 2 + np.searchsorted(limit_N, np.stack([seen_R, *np.outer(ends, seen_R)]))
    low, high = np.quantile(estimate_3R[0], [0.025, 0.975])
    held_R = (estimate_3R[1] <= truth) & (truth <= estimate_3R[2])
    enough_R = (estimate_3R[2] <= seeds) & (seeds < truth)
    return SeedEstimate(
        float(low),
        float(high),
        Frequency(int(held_R.sum()), simulations),
        Frequency(int(enough_R.sum()), simulations),
    )


def raced(shape: tuple[Draw, Draw], seeds: int, simulations: int) -> Frequency:
    """Count the races in which an arm is dropped although both means are equal.

    The race is tested after every seed. `shape` holds one distribution of runs per arm.
    """
    rng = np.random.default_rng([seeds, 17])
    a_RK, b_RK = (draw(rng, (simulations, seeds)) for draw in shape)
    d_RK, k = a_RK - b_RK, np.arange(1, seeds + 1)
    total_RK, whole_RK = d_RK.cumsum(1), (k + 1) * (d_RK * d_RK).cumsum(1)
    e_RK = np.sqrt(1 / (k + 1)) * (whole_RK / (whole_RK - total_RK**2)) ** (k / 2)
    return Frequency(int(((e_RK >= threshold(2)) & (total_RK < 0)).any(1).sum()), simulations)


def covered(share: float, alike: float, simulations: int) -> tuple[Frequency, Frequency]:
    """Count how often the robust interval and `clustered` cover the true share.

    The data are 40 clusters of 5 rows. `alike` is the correlation of two rows of a cluster.
    """
    rng = np.random.default_rng(19)
    a, b = share * (1 / alike - 1), (1 - share) * (1 / alike - 1)
    right_RGM = rng.random((simulations, 40, 5)) < rng.beta(a, b, (simulations, 40, 1))
    mean_R = right_RGM.mean((1, 2))
    off_RG = right_RGM.sum(2) - 5 * mean_R[:, None]
    robust_R = np.abs(mean_R - share) <= Z95 * np.sqrt((off_RG**2).sum(1)) / 200
    ours = sum(
        one.low <= share <= one.high for one in map(clustered, right_RGM.astype(int).tolist())
    )
    return Frequency(int(robust_R.sum()), simulations), Frequency(ours, simulations)


def _asked(accuracy_AK: Array) -> EnvironmentValues:
    values = {f"a{i}": dict(enumerate(row)) for i, row in enumerate(accuracy_AK.tolist())}
    return EnvironmentValues(values, list(combinations(values, 2)), GRID)


def _holm(environment: EnvironmentValues) -> list[float]:
    """Return the p-values of one environment, corrected over its own pairs only."""
    spreads = [
        spread(differences(environment.values[a], environment.values[b]), environment.resolution)
        for a, b in environment.pairs
    ]
    return holm([t_test(one) for one in spreads if one is not None])


# ---- the tables ----


def tables(simulations: int) -> Iterator[str]:
    """Yield the lines of all tables, in Markdown."""
    many = FASTER * simulations
    yield from _looks_table(5 * simulations)
    yield from _power_table(many)
    yield from _environments_table(5 * simulations)
    yield from _shapes_table(many)
    yield from _size_table(many)
    yield from _seeds_table(many)
    yield from _race_table(many)
    yield from _edges_table(2 * simulations)


def _looks_table(simulations: int) -> Iterator[str]:
    yield from _head(
        "equal arms, until decided",
        [
            "two arms: 5 % each time",
            "two arms: looks",
            "five arms: 5 % each time",
            "five arms: looks",
        ],
    )
    for first, last in SCHEDULES:
        both = [until_decided((first, last), arms, simulations) for arms in (2, 5)]
        yield _row(f"{first} to {last} seeds", [_cell(one) for pair in both for one in pair])


def _power_table(simulations: int) -> Iterator[str]:
    names = ["plain test at 5 %, only there", "looks", "one level at every other seed", "e-value"]
    yield from _head("true difference of one standard deviation, found by", names)
    for planned in (3, 5, 10):
        for seeds in (planned, 2 * planned, 4 * planned):
            cells = [f"{100 * x:.1f} %" for x in found(planned, seeds, 1.0, simulations)]
            yield _row(f"{seeds} seeds, {planned} planned", cells)


def _environments_table(simulations: int) -> Iterator[str]:
    yield from _head("five equal arms, five seeds: any false word", ["each alone", "one family"])
    for envs in (1, 3, 9):
        cells = [_cell(one) for one in on_environments(envs, 5, simulations)]
        yield _row(f"{envs} environment{'s' * (envs > 1)}", cells)


def _shapes_table(simulations: int) -> Iterator[str]:
    seeds = (2, *FEW_SEEDS)
    yield from _head("arms of equal means called different", [f"{k} seeds" for k in seeds])
    for name, shape in SHAPES.items():
        yield _row(name, [_percent(shaped(shape, k, simulations)) for k in seeds])


def _size_table(simulations: int) -> Iterator[str]:
    effects = (0.5, 1.0, 2.0)
    yield from _head(
        "decided differences read so many times a truth of",
        [f"{effect:g} of their spread" for effect in effects],
    )
    for seeds in FEW_SEEDS:
        cells = [read_too_large(effect, seeds, simulations) for effect in effects]
        yield _row(
            f"{seeds} seeds", [f"{size:.2f} (decided in {_percent(one)})" for one, size in cells]
        )


def _seeds_table(simulations: int) -> Iterator[str]:
    yield from _head(
        "where 15 seeds are needed",
        ["95 % of estimates", "printed range holds 15", '"enough" is said'],
    )
    for seeds in (2, 3, 5, 10):
        one = needed(seeds, 15, simulations)
        span = f"{one.low:.0f} to {one.high:.0f}"
        yield _row(f"{seeds} seeds say", [span, _percent(one.held), _percent(one.enough)])


def _race_table(simulations: int) -> Iterator[str]:
    yield from _head(
        "arms of equal means, out of the race by 30 seeds", ["the arm so", "the baseline so"]
    )
    for name, shape in SHAPES.items():
        both = (raced(shape, 30, simulations), raced(shape[::-1], 30, simulations))
        yield _row(name, [_percent(one) for one in both])


def _edges_table(simulations: int) -> Iterator[str]:
    yield from _head("40 clusters of 5 rows, 95 % interval covers", ["robust", "ours"])
    for share in (0.01, 0.03, 0.1):
        for alike in (0.3, 0.8):
            name = f"{100 * share:g} % right, correlation {alike:g}"
            yield _row(name, [_percent(one) for one in covered(share, alike, simulations)])


def _head(first: str, names: Sequence[str]) -> Iterator[str]:
    yield "\n" + _row(first, names) + f"|---|{'---|' * len(names)}\n"


def _row(first: str, cells: Sequence[str]) -> str:
    return f"| {first} | {' | '.join(cells)} |\n"


def _cell(one: Frequency) -> str:
    share = one.share
    low, high = (f"{100 * end:.1f} %" for end in (share.low, share.high))
    return f"{_percent(one)} ({low} to {high})"


def _percent(one: Frequency) -> str:
    return f"{100 * one.share.value:.1f} %"
