"""Simulate comparisons with a known truth, to measure how often the verdicts are right and wrong.

    python -m mssr_rl.stats.simulation [simulations=1000] [only=questions]

prints the tables of docs/statistics.md; 1,000 simulations take about six minutes. This module
simulates single questions (`only=questions`). Repeated looks, several environments, noise that is
not normal and the rest are in `stress` (`only=runs`), which takes half a minute.

The model: a run answers a question right with probability sigmoid(logit). The logit is a sum:

    difficulty of the question    sd 1.5, the same for all arms and seeds
    luck of this training         sd 0.12
    its luck on this question     sd 0.6
    merit of the arm              fixed

Arms with the same seed share only the questions, which is the worst case for paired tests.

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
PLANTED = 0.08  # the simulated true difference: 8 points of accuracy
DRAWS = 400  # bootstrap resamples in the simulation
RULE = Rule()

Array = NDArray[np.float64]


def answers(
    rng: np.random.Generator, merit_A: Sequence[float], seeds: int, questions: int
) -> Array:
    """Return the answers of one simulated comparison: 0 or 1, shape [A, K, N]."""
    arms = len(merit_A)
    logit = rng.normal(0, QUESTION_SD, questions)
    logit = logit + rng.normal(0, RUN_SD, (arms, seeds, 1))
    logit = logit + rng.normal(0, RUN_QUESTION_SD, (arms, seeds, questions))
    p_AKN = expit(logit + np.asarray(merit_A)[:, None, None])
    return np.asarray(rng.random(p_AKN.shape) < p_AKN, dtype=float)


def merit_of(gain: float) -> float:
    """Return the merit, in logits, that raises the expected accuracy from 50 % by `gain`."""
    node, weight = np.polynomial.hermite_e.hermegauss(61)
    total_sd = np.sqrt(QUESTION_SD**2 + RUN_SD**2 + RUN_QUESTION_SD**2)

    def above_half(merit: float) -> float:
        return float(weight @ expit(total_sd * node + merit) / weight.sum()) - 0.5

    return float(brentq(lambda merit: above_half(merit) - gain, -10, 10))


def verdicts(merit_A: Sequence[float], setting: tuple[int, int], simulations: int) -> list[Values]:
    """Return the final accuracies of simulated comparisons, in the form that `judge` takes.

    `setting` is (seeds, questions).
    """
    seeds, questions = setting
    rng = np.random.default_rng([seeds, questions, len(merit_A)])
    comparisons: list[Values] = []
    for _ in range(simulations):
        accuracy_AK = answers(rng, merit_A, seeds, questions).mean(2)
        comparisons.append(
            {f"arm{i}": dict(enumerate(row)) for i, row in enumerate(accuracy_AK.tolist())}
        )
    return comparisons


def called(comparisons: Sequence[Values], questions: int, verdicts: Sequence[str]) -> Frequency:
    """Count the comparisons in which at least one pair gets one of `verdicts`.

    The verdicts are those of the look at the planned number of seeds.
    """
    times = 0
    for values in comparisons:
        seeds = next(iter(values.values()))
        look = next(looks(len(seeds), RULE.alpha))
        environment = EnvironmentValues(values, list(combinations(values, 2)), 1 / questions)
        decided = decisions({"": environment}, look, seeds, RULE.margin)
        times += any(one.verdict in verdicts for one in decided.values())
    return Frequency(times, len(comparisons))


def coverage(
    merit: float, truth: float, setting: tuple[int, int], simulations: int
) -> dict[str, Frequency]:
    """Count how often each kind of 95 % interval covers the true difference of two arms."""
    rng = np.random.default_rng([*setting, 2, 1])
    hits: dict[str, int] = {}
    for _ in range(simulations):
        right_AKN = answers(rng, (merit, 0.0), *setting)
        for name, interval in _intervals(right_AKN):
            hits[name] = hits.get(name, 0) + (interval.low <= truth <= interval.high)
    return {name: Frequency(times, simulations) for name, times in hits.items()}


def _intervals(right_AKN: Array) -> Iterator[tuple[str, Interval]]:
    """Yield (name in the table, interval) for every interval that a report prints for a pair."""
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
    """Yield the lines of the tables with simulated questions, in Markdown."""
    yield from _verdict_table(simulations)
    yield from _coverage_table(simulations)


def _verdict_table(simulations: int) -> Iterator[str]:
    """Yield the table of verdicts on two equal arms, five equal arms, and two unequal arms.

    The accuracies of the unequal arms are 8 points apart.
    """
    yield "| seeds, questions | equal arms: better | better or worse | five equal arms, any pair "
    yield "better or worse | 8 points apart: better |\n|---|---|---|---|---|\n"
    for setting in SIMULATED:
        equal, five, apart = (
            verdicts(merit_A, setting, simulations)
            for merit_A in ((0.0, 0.0), (0.0,) * 5, (merit_of(PLANTED), 0.0))
        )
        columns = (
            called(equal, setting[1], ["better"]),
            called(equal, setting[1], ["better", "worse"]),
            called(five, setting[1], ["better", "worse"]),
            called(apart, setting[1], ["better"]),
        )
        yield f"| {setting[0]}, {setting[1]:,} | {' | '.join(map(_cell, columns))} |\n"


def _coverage_table(simulations: int) -> Iterator[str]:
    """Yield the table of interval coverage for two arms 8 points apart.

    The coverage for equal arms follows from the other table: it is 1 minus the false verdicts.
    """
    merit = merit_of(PLANTED)
    by_setting = {s: coverage(merit, PLANTED, s, simulations) for s in SIMULATED}
    head = " | ".join(f"{seeds}, {questions:,}" for seeds, questions in SIMULATED)
    yield f"\n| 95 % interval, covers in % | {head} |\n|---|{'---|' * len(SIMULATED)}\n"
    for name in next(iter(by_setting.values())):
        shares = (frequencies[name].share.value for frequencies in by_setting.values())
        yield f"| {name} | {' | '.join(f'{100 * share:.1f}' for share in shares)} |\n"


def _cell(frequency: Frequency) -> str:
    share = frequency.share
    return f"{_percent(share.value)} ({_percent(share.low)} to {_percent(share.high)})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


PARTS: Mapping[str, Callable[[int], Iterator[str]]] = {"questions": tables, "runs": stress.tables}


def main(words: Sequence[str]) -> None:
    """Print the tables; `words` are the arguments, such as "only=questions"."""
    options: Mapping[str, str] = dict(word.split("=", 1) for word in words)
    for part in [options["only"]] if "only" in options else PARTS:
        for line in PARTS[part](int(options.get("simulations", 1_000))):
            sys.stdout.write(line)
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
