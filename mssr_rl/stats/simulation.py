"""Is the method honest? Comparisons simulated where the truth is known, and how often it was said.

    python -m mssr_rl.stats.simulation [simulations=1000] [only=questions]

prints the tables of docs/statistics.md; with 1,000 simulations it takes about six minutes. Those in
which every question is simulated are here (`only=questions`); those of looking again, several
environments, odd noise and the rest are in `stress` (`only=runs`) and take half a minute.

The model: the answer of a run to a question is right with probability sigmoid(logit), and the logit
is a question's difficulty (sd 1.5, the same for all arms and seeds) plus how well this training
turned out (sd 0.12) plus what it happened to learn about this question (sd 0.6) plus the arm's
merit. Arms of the same seed share nothing but the questions, which is the worst case for pairing.

Shapes: A arms, K seeds, N questions.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from mssr_rl.stats import stress
from mssr_rl.stats.familywise import EnvironmentValues, decisions
from mssr_rl.stats.intervals import Interval, paired_change
from mssr_rl.stats.paired import spread, t_interval
from mssr_rl.stats.questions import SAYS, SIMULATED, bootstrap
from mssr_rl.stats.sequential import looks
from mssr_rl.stats.stress import Frequency
from mssr_rl.stats.verdict import Rule, Values

QUESTION_SD, RUN_SD, RUN_QUESTION_SD = 1.5, 0.12, 0.6  # in logits
PLANTED = 0.08  # a gain of 8 points
DRAWS = 400  # bootstrap resamples in the simulation
RULE = Rule()

Array = NDArray[np.float64]


def answers(
    rng: np.random.Generator, merit_A: Sequence[float], seeds: int, questions: int
) -> Array:
    """One simulated comparison: right_AKN, 0 or 1."""
    arms = len(merit_A)
    logit = rng.normal(0, QUESTION_SD, questions)
    logit = logit + rng.normal(0, RUN_SD, (arms, seeds, 1))
    logit = logit + rng.normal(0, RUN_QUESTION_SD, (arms, seeds, questions))
    p_AKN = expit(logit + np.asarray(merit_A)[:, None, None])
    return np.asarray(rng.random(p_AKN.shape) < p_AKN, dtype=float)


def merit_of(gain: float) -> float:
    """The merit in logits that raises expected accuracy from 50 % by `gain`."""
    node, weight = np.polynomial.hermite_e.hermegauss(61)
    total_sd = np.sqrt(QUESTION_SD**2 + RUN_SD**2 + RUN_QUESTION_SD**2)

    def above_half(merit: float) -> float:
        return float(weight @ expit(total_sd * node + merit) / weight.sum()) - 0.5

    return float(brentq(lambda merit: above_half(merit) - gain, -10, 10))


def verdicts(merit_A: Sequence[float], setting: tuple[int, int], simulations: int) -> list[Values]:
    """Final accuracies of simulated comparisons, as `judge` takes them."""
    seeds, questions = setting
    rng = np.random.default_rng([seeds, questions, len(merit_A)])
    found: list[Values] = []
    for _ in range(simulations):
        accuracy_AK = answers(rng, merit_A, seeds, questions).mean(2)
        found.append(
            {f"arm{i}": dict(enumerate(row)) for i, row in enumerate(accuracy_AK.tolist())}
        )
    return found


def called(comparisons: Sequence[Values], questions: int, words: Sequence[str]) -> Frequency:
    """In how many comparisons any pair got one of these words, at the planned look."""
    times = 0
    for values in comparisons:
        seeds = next(iter(values.values()))
        look = next(looks(len(seeds), RULE.alpha))
        asked = EnvironmentValues(values, list(combinations(values, 2)), 1 / questions)
        found = decisions({"": asked}, look, seeds, RULE.margin)
        times += any(one.verdict in words for one in found.values())
    return Frequency(times, len(comparisons))


def coverage(
    merit: float, truth: float, setting: tuple[int, int], simulations: int
) -> dict[str, Frequency]:
    """How many 95 % intervals of each kind cover the true difference of two arms."""
    rng = np.random.default_rng([*setting, 2, 1])
    hits: dict[str, int] = {}
    for _ in range(simulations):
        right_AKN = answers(rng, (merit, 0.0), *setting)
        for name, interval in _intervals(right_AKN):
            hits[name] = hits.get(name, 0) + (interval.low <= truth <= interval.high)
    return {name: Frequency(times, simulations) for name, times in hits.items()}


def _intervals(right_AKN: Array) -> Iterator[tuple[str, Interval]]:
    """Every interval we print for a pair, by its name in the table."""
    d_KN = right_AKN[0] - right_AKN[1]
    decides = spread(d_KN.mean(1).tolist(), 1 / d_KN.shape[1])
    one_seed = paired_change(right_AKN[1, 0].tolist(), right_AKN[0, 0].tolist())
    if decides is not None and one_seed is not None:
        yield "Student's t over seeds (decides)", t_interval(decides)
        yield "questions of one seed", one_seed
    for kind, says in SAYS.items():
        yield says, bootstrap(d_KN, kind, DRAWS).interval


# ---- the tables ----


def tables(simulations: int) -> Iterator[str]:
    """Those with questions, in Markdown, a line at a time."""
    yield from _verdict_table(simulations)
    yield from _coverage_table(simulations)


def _verdict_table(simulations: int) -> Iterator[str]:
    """What two equal arms, five equal arms and two arms 8 points apart are called."""
    yield "| seeds, questions | equal arms: better | better or worse | five equal arms, any pair "
    yield "better or worse | 8 points apart: better |\n|---|---|---|---|---|\n"
    for setting in SIMULATED:
        equal, five, apart = (
            verdicts(merit_A, setting, simulations)
            for merit_A in ((0.0, 0.0), (0.0,) * 5, (merit_of(PLANTED), 0.0))
        )
        found = (
            called(equal, setting[1], ["better"]),
            called(equal, setting[1], ["better", "worse"]),
            called(five, setting[1], ["better", "worse"]),
            called(apart, setting[1], ["better"]),
        )
        yield f"| {setting[0]}, {setting[1]:,} | {' | '.join(map(_cell, found))} |\n"


def _coverage_table(simulations: int) -> Iterator[str]:
    """Of arms 8 points apart; that of equal arms stands in the other table, as what is missed."""
    merit = merit_of(PLANTED)
    by_setting = {s: coverage(merit, PLANTED, s, simulations) for s in SIMULATED}
    head = " | ".join(f"{seeds}, {questions:,}" for seeds, questions in SIMULATED)
    yield f"\n| 95 % interval, covers in % | {head} |\n|---|{'---|' * len(SIMULATED)}\n"
    for name in next(iter(by_setting.values())):
        shares = (found[name].share.value for found in by_setting.values())
        yield f"| {name} | {' | '.join(f'{100 * share:.1f}' for share in shares)} |\n"


def _cell(found: Frequency) -> str:
    share = found.share
    return f"{_percent(share.value)} ({_percent(share.low)} to {_percent(share.high)})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


PARTS: Mapping[str, Callable[[int], Iterator[str]]] = {"questions": tables, "runs": stress.tables}


def main(words: Sequence[str]) -> None:
    """Print the tables."""
    given: Mapping[str, str] = dict(word.split("=", 1) for word in words)
    for part in [given["only"]] if "only" in given else PARTS:
        for line in PARTS[part](int(given.get("simulations", 1_000))):
            sys.stdout.write(line)
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
