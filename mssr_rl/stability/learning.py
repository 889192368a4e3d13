"""Detectors of missing learning signal: zero advantages, flat reward, late tracker, bad grading."""

from math import sqrt

import numpy as np

from mssr_rl.metric_names import (
    ERROR_SHARE,
    REWARD_MEAN,
    TIMEOUT_SHARE,
    TRACKED_VALUE,
    TRACKER_ETA,
    ZERO_ADVANTAGE_SHARE,
)
from mssr_rl.stability.limits import Limits
from mssr_rl.stability.trace import Array, Event, Trace, held, window_of

FORMAT_FALL = 0.3  # the share of rollouts without an answer must fall by this much
FEWEST_STEPS = 40  # in a shorter run the second half is too short to show a trend
AT_BOUND = 0.9  # share of the steps at which eta has its smallest or largest value


def no_signal(trace: Trace, limits: Limits) -> Event | None:
    """Fires if, for a window, more than `zero_advantage` of the tokens have an advantage of 0."""
    zero, window = trace.column(ZERO_ADVANTAGE_SHARE), window_of(trace, limits)
    index = held(zero > limits.zero_advantage, window)
    if index is None:
        return None
    evidence = (
        f"{zero[index]:.0%} of the tokens have an advantage of 0; the share was this high for "
        f"{window} steps"
    )
    advice = (
        "the problems are too easy or too hard for groups of this size; try other problems, a "
        "larger rollout.group_size, or an algorithm whose baseline is not the group"
    )
    return Event("no_signal", "warn", trace.step(index), evidence, advice)


def format_only(trace: Trace, limits: Limits) -> Event | None:
    """Fires if the model learned only the answer format.

    The first and the last window are compared. The share of rollouts with an answer must have risen
    by at least 0.3. The share of right ones among the answers must have risen by less than
    `format_gain`.
    """
    missing, window = trace.unanswered, window_of(trace, limits)
    if len(missing) < 2 * window:
        return None
    reward = trace.column(REWARD_MEAN)
    fall = missing[:window].mean() - missing[-window:].mean()
    rise = _of_answered(reward, missing, slice(-window, None)) - _of_answered(
        reward, missing, slice(window)
    )
    if not (fall >= FORMAT_FALL and rise < limits.format_gain):
        return None
    evidence = (
        f"{fall:.0%} more of the rollouts have an answer than at the start, but the share of right "
        f"answers among the answers changed by only {100 * rise:+.1f} points"
    )
    advice = (
        "the model learned the answer format, but not the problems; train longer, or start from a "
        "better model"
    )
    return Event("format_only", "warn", trace.step(len(missing) - 1), evidence, advice)


def plateau(trace: Trace, limits: Limits) -> Event | None:
    """Fires if the reward certainly rose by less than `plateau` in the second half of the run.

    A line is fitted to the reward. The upper end of the one-sided 95 % interval of its rise must be
    below `plateau`, and validation must have gained less than one standard error. A rise that is
    merely not significant is not enough, so short runs never fire. Use it at the end of a run.
    """
    from scipy import stats  # slow to import, and only needed at the end of a run

    reward = trace.column(REWARD_MEAN)
    if len(reward) < FEWEST_STEPS:
        return None
    late = reward[len(reward) // 2 :]
    line = stats.linregress(np.arange(len(late)), late)
    steps, uncertain = len(late) - 1, stats.t.ppf(0.95, len(late) - 2) * line.stderr
    rise, most = line.slope * steps, (line.slope + uncertain) * steps
    if not (most < limits.plateau and _validation_stands(trace)):
        return None
    evidence = (
        f"over the last {len(late)} steps the reward rose by {100 * rise:.1f} points; with 95 % "
        f"confidence the rise is less than {100 * most:.1f} points"
    )
    advice = (
        "a larger budget alone will hardly help; try other problems, another train.lr, or another "
        "algorithm"
    )
    return Event("plateau", "note", trace.step(len(reward) - 1), evidence, advice)


def tracker_lag(trace: Trace, limits: Limits) -> Event | None:
    """Fires if the tracked value is far from the reward, or if eta stays at a bound.

    "Far" means that the means over a window differ by more than `tracker_gap`. The first window
    does not count, because the prior dominates there. Eta stays at a bound if it took several
    values, but has its largest or smallest one on 90 % of the steps.
    """
    gap = trace.column(TRACKED_VALUE) - trace.column(REWARD_MEAN)
    window = window_of(trace, limits)
    off = np.abs(_moving_mean(gap, window)) > limits.tracker_gap
    off[: 2 * window - 1] = False  # windows that overlap the first one
    if off.any():
        index = int(np.flatnonzero(off)[0])
        evidence = (
            f"over {window} steps the tracked success rate differs from the reward by "
            f"{100 * _moving_mean(gap, window)[index]:+.0f} points on average"
        )
        advice = (
            "the baseline follows the policy too slowly; try a smaller eta_min or eta_max, so that "
            "old outcomes are forgotten sooner"
        )
        return Event("tracker_lag", "warn", trace.step(index), evidence, advice)
    return _eta_stands(trace, 4 * window)


def verifier_trouble(trace: Trace, limits: Limits) -> Event | None:
    """Fires if grading timed out or failed on more than `ungraded` of a window's rollouts."""
    window = window_of(trace, limits)
    failed = trace.column(TIMEOUT_SHARE) + trace.column(ERROR_SHARE)
    over = np.flatnonzero(_moving_mean(failed, window) > limits.ungraded)
    if not len(over):
        return None
    index = int(over[0])
    share = _moving_mean(failed, window)[index]
    evidence = f"grading failed on {share:.1%} of the rollouts over {window} steps"
    advice = (
        "these rollouts score 0, whatever they contain; run `grade` on the recorded responses to "
        "see which ones they are"
    )
    return Event("verifier_trouble", "warn", trace.step(index), evidence, advice)


def _eta_stands(trace: Trace, fewest: int) -> Event | None:
    eta = trace.column(TRACKER_ETA)
    if len(eta) < fewest or np.isnan(eta).any() or len(np.unique(eta)) < 2:
        return None
    for bound, extreme in ((eta.min(), "smallest"), (eta.max(), "largest")):
        share = float((eta == bound).mean())
        if share >= AT_BOUND:
            evidence = f"eta is {bound:.3g}, its {extreme} value, on {share:.0%} of the steps"
            advice = "the KL does not change the rate of forgetting; try another kl_target"
            return Event("tracker_lag", "warn", trace.step(len(eta) - 1), evidence, advice)
    return None


def _moving_mean(values: Array, window: int) -> Array:
    """Return, for each index, the mean over the window that ends there; NaN if it is incomplete."""
    if len(values) < window:
        return np.full(len(values), np.nan)
    means = np.convolve(values, np.full(window, 1 / window), "valid")
    return np.concatenate([np.full(window - 1, np.nan), means])


def _of_answered(reward: Array, missing: Array, part: slice) -> float:
    answered = 1 - missing[part].mean()
    return float(reward[part].mean() / answered) if answered > 0 else 0.0


def _validation_stands(trace: Trace) -> bool:
    """Return whether validation gained less than one standard error since the middle of the run.

    Returns True if there are fewer than two evaluations.
    """
    middle = trace.step(len(trace.rows) // 2)
    if len(trace.marks) < 2:
        return True
    first = max((mark for mark in trace.marks if mark.step <= middle), default=trace.marks[0])
    last = trace.marks[-1]
    p = (first.accuracy + last.accuracy) / 2
    return last.accuracy - first.accuracy < sqrt(2 * p * (1 - p) / last.n)
