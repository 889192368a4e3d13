"""Detectors of changes in the policy: entropy, KL divergence, gradients."""

import numpy as np

from mssr_rl.metric_names import ENTROPY, GRAD_NORM, KL_REF, KL_STEP
from mssr_rl.stability.limits import Limits
from mssr_rl.stability.trace import Event, Trace, held, reference, window_ends, window_of

IN_A_ROW = 3  # steps with too large a KL
BEFORE = 50  # a gradient is compared with up to this many steps before it
AT_LEAST = 10  # and with at least this many


def entropy_collapse(trace: Trace, limits: Limits) -> Event | None:
    """Fires if entropy is below `entropy_low` times its reference for a window.

    It does not fire if the newest evaluation is the best so far. A policy that becomes more certain
    and better is converging.
    """
    entropy, window = trace.column(ENTROPY), window_of(trace, limits)
    start = reference(entropy, window)
    ends = window_ends(entropy < limits.entropy_low * start, window)
    index = next((int(i) for i in ends if not _newest_is_best(trace, trace.step(i))), None)
    if index is None:
        return None
    evidence = (
        f"entropy is {entropy[index]:.3g} nat per token, {entropy[index] / start:.0%} of the "
        f"{start:.3g} at the start; it was low for {window} steps, without a new best accuracy"
    )
    advice = (
        "the policy hardly explores any more; try a smaller train.lr, a higher clip_high, or an "
        "algorithm with an entropy bonus"
    )
    return Event("entropy_collapse", "warn", trace.step(index), evidence, advice)


def entropy_explosion(trace: Trace, limits: Limits) -> Event | None:
    """Fires if entropy is above `entropy_high` times its reference for a window."""
    entropy, window = trace.column(ENTROPY), window_of(trace, limits)
    start = reference(entropy, window)
    index = held(entropy > limits.entropy_high * start, window)
    if index is None:
        return None
    evidence = (
        f"entropy is {entropy[index]:.3g} nat per token, {entropy[index] / start:.1f} times the "
        f"{start:.3g} at the start; it was high for {window} steps"
    )
    advice = (
        "the responses become random; try a smaller train.lr, a weaker entropy bonus, or a KL term"
    )
    return Event("entropy_explosion", "warn", trace.step(index), evidence, advice)


def kl_runaway(trace: Trace, limits: Limits) -> Event | None:
    """Fires if the KL of a step is above `kl_step` on three steps in a row.

    It also fires if the KL to the frozen initial model is above `kl_ref` for a window.
    """
    window = window_of(trace, limits)
    limits_of_kl = (
        (KL_STEP, limits.kl_step, IN_A_ROW, "between the policies of consecutive steps"),
        (KL_REF, limits.kl_ref, window, "to the frozen initial model"),
    )
    fired = [
        (index, key, limit, steps, says)
        for key, limit, steps, says in limits_of_kl
        if (index := held(trace.column(key) > limit, steps)) is not None
    ]
    if not fired:
        return None
    index, key, limit, steps, says = min(fired)
    evidence = (
        f"the KL {says} is {trace.column(key)[index]:.3g} nat per token; it was above {limit:g} "
        f"for {steps} steps"
    )
    advice = (
        "the policy changes too fast; try a smaller train.lr, a narrower clip range, or a larger "
        "kl_coef"
    )
    return Event("kl_runaway", "warn", trace.step(index), evidence, advice)


def grad_spike(trace: Trace, limits: Limits) -> Event | None:
    """Fires if the gradient norm is above `grad_factor` times its median of the 50 steps before.

    One spike is a note; three within a window are a warning.
    """
    norm, window = trace.column(GRAD_NORM), window_of(trace, limits)
    spikes = [
        i for i in range(AT_LEAST, len(norm)) if norm[i] > limits.grad_factor * _usual(norm, i)
    ]
    if not spikes:
        return None
    close = [
        third for first, third in zip(spikes, spikes[2:], strict=False) if third - first < window
    ]
    index = close[0] if close else spikes[0]
    evidence = (
        f"the gradient norm is {norm[index]:.3g}, {norm[index] / _usual(norm, index):.0f} times "
        f"its usual value; the run has {len(spikes)} such step{'s' * (len(spikes) != 1)}"
        + (f", three of them within {window} steps" if close else "")
    )
    advice = "look at the batch of that step; a smaller train.max_grad_norm limits such updates"
    return Event("grad_spike", "warn" if close else "note", trace.step(index), evidence, advice)


def _usual(norm: np.ndarray, index: int) -> float:
    return float(np.median(norm[max(index - BEFORE, 0) : index]))


def _newest_is_best(trace: Trace, step: int) -> bool:
    """Return whether the last evaluation up to a step is better than all evaluations before it.

    Returns False for the first evaluation.
    """
    seen = [mark.accuracy for mark in trace.marks if mark.step <= step]
    return len(seen) > 1 and seen[-1] > max(seen[:-1])
