"""Second opinions from single questions, for comparisons with too few seeds for a verdict.

They never change a verdict. McNemar's test and the interval beside it compare two checkpoints, not
two algorithms. The bootstraps are the intervals that papers print most often. Each is reported with
its true coverage, measured by simulation (`stats.simulation`, docs/statistics.md).

Shapes: K seeds, N questions.
"""

from collections.abc import Callable, Mapping, Sequence
from math import log
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.contingency_tables import mcnemar

from mssr_rl.stats.intervals import Interval, negated, paired_change

Questions = Mapping[str, float]  # question -> share of its answers that were right
Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Kind = Literal["seeds", "questions", "both"]

DRAWS = 2_000
FEWEST = 3  # seeds; at two, the interval is their range and covers the truth half the time
SAYS: Mapping[Kind, str] = {
    "seeds": "bootstrap over seeds",
    "questions": "bootstrap over questions, seeds pooled",
    "both": "bootstrap over seeds and questions",
}
# How many of 1,000 nominal 95 % intervals covered the truth, at each (seeds, questions).
SIMULATED = tuple((seeds, questions) for questions in (300, 1000, 2000) for seeds in (3, 5, 10))
COVERAGE: Mapping[Kind, Sequence[float]] = {
    "seeds": (0.783, 0.846, 0.886, 0.770, 0.826, 0.883, 0.744, 0.835, 0.903),
    "questions": (0.877, 0.857, 0.863, 0.721, 0.718, 0.708, 0.580, 0.577, 0.587),
    "both": (0.984, 0.986, 0.990, 0.953, 0.943, 0.967, 0.899, 0.930, 0.965),
}


class Checkpoints(NamedTuple):
    """The comparison of the two checkpoints of one seed. It does not describe other trainings."""

    seed: int
    only_a: int | None  # questions that only a got right; None if the scores are not all 0 or 1
    only_b: int | None
    p: float | None  # McNemar, exact
    difference: Interval | None  # a - b over the questions, normal 95 %; None below two questions


class Bootstrap(NamedTuple):
    """A percentile interval that is nominally 95 %, and its true coverage."""

    kind: Kind
    says: str
    interval: Interval
    coverage: float  # measured by simulation
    measured_at: tuple[int, int]  # seeds and questions of the nearest simulated setting


class Opinions(NamedTuple):
    """All second opinions on a pair of arms."""

    checkpoints: tuple[Checkpoints, ...]  # one per seed
    bootstraps: tuple[Bootstrap, ...]  # empty below three seeds


def second_opinions(a: Mapping[int, Questions], b: Mapping[int, Questions]) -> Opinions:
    """Return McNemar's test for every seed, and the bootstraps.

    Both arguments are {seed: {question: share right}}, with the same seeds and questions.
    """
    seeds = sorted(a)
    checkpoints = tuple(_checkpoints(seed, a[seed], b[seed]) for seed in seeds)
    if len(seeds) < FEWEST:
        return Opinions(checkpoints, ())
    names = list(a[seeds[0]])
    d_KN = np.array([[a[seed][q] - b[seed][q] for q in names] for seed in seeds], dtype=float)
    return Opinions(checkpoints, tuple(bootstrap(d_KN, kind) for kind in SAYS))


def bootstrap(d_KN: Array, kind: Kind, draws: int = DRAWS) -> Bootstrap:
    """Return the percentile interval of the mean of `d_KN`, the differences by seed and question.

    `kind` says whether seeds, questions or both are resampled. The random numbers are always the
    same. So a report that is made again shows the same interval.
    """
    seeds, questions = d_KN.shape
    rng = np.random.default_rng(0)
    seed_RK = _drawn(rng, draws, seeds, again=kind != "questions")
    question_RN = _drawn(rng, draws, questions, again=kind != "seeds")
    # Seeds are resampled as weights: 2,000 copies of a table of 10 x 1,000 would take 160 MB.
    share_RK = np.apply_along_axis(np.bincount, 1, seed_RK, minlength=seeds) / seeds
    mean_R = np.take_along_axis(share_RK @ d_KN, question_RN, 1).mean(1)
    low, high = np.quantile(mean_R, [0.025, 0.975])
    # Nearest by ratio: from 3 to 5 seeds the coverage changes as much as from 300 to 500 questions.
    nearest = min(range(len(SIMULATED)), key=lambda i: _apart(SIMULATED[i], d_KN.shape))
    interval = Interval(float(d_KN.mean()), float(low), float(high))
    return Bootstrap(kind, SAYS[kind], interval, COVERAGE[kind][nearest], SIMULATED[nearest])


def family_means(right: Questions, family_of: Callable[[str], str]) -> dict[str, float]:
    """Return {family: mean share right}; `family_of` gives the family of a question.

    Questions that were made from one problem or one figure are not independent; they are a family.
    """
    members: dict[str, list[float]] = {}
    for question, share in right.items():
        members.setdefault(family_of(question), []).append(share)
    return {family: sum(shares) / len(shares) for family, shares in members.items()}


def turned(opinions: Opinions) -> Opinions:
    """Return the same opinions for the pair with its two arms exchanged."""
    return Opinions(
        tuple(
            c._replace(
                only_a=c.only_b, only_b=c.only_a, difference=c.difference and negated(c.difference)
            )
            for c in opinions.checkpoints
        ),
        tuple(x._replace(interval=negated(x.interval)) for x in opinions.bootstraps),
    )


def _apart(one: Sequence[int], other: Sequence[int]) -> float:
    """Return the distance between two settings (seeds, questions): the sum of |log ratio|."""
    return sum(abs(log(x / y)) for x, y in zip(one, other, strict=True))


def _checkpoints(seed: int, a: Questions, b: Questions) -> Checkpoints:
    pairs = [(a[question], b[question]) for question in a]
    difference = paired_change([right for _, right in pairs], [right for right, _ in pairs])
    if any(share not in (0, 1) for pair in pairs for share in pair):
        return Checkpoints(seed, None, None, None, difference)
    only_a, only_b = pairs.count((1, 0)), pairs.count((0, 1))
    table = [[pairs.count((1, 1)), only_a], [only_b, pairs.count((0, 0))]]
    return Checkpoints(seed, only_a, only_b, float(mcnemar(table, exact=True).pvalue), difference)


def _drawn(rng: np.random.Generator, draws: int, size: int, *, again: bool) -> Indices:
    """Return the indices of every resample.

    With `again`, they are `size` random indices with replacement. Otherwise they are each index
    once.
    """
    if not again:
        return np.broadcast_to(np.arange(size), (draws, size))
    return rng.integers(size, size=(draws, size))
