"""Detectors of faults in the responses: length, truncation, repetition."""

import zlib

import numpy as np

from mssr_rl.metric_names import LENGTH_MEAN, TRUNCATED_SHARE
from mssr_rl.stability.limits import Limits
from mssr_rl.stability.trace import Event, Trace, held, reference, window_of

CUT_WHILE_GROWING = 0.25  # growing length is a fault only if this share hits the length limit
FEWEST = 10  # recorded responses; a share of fewer is not computed
MANY_WORDS, DISTINCT = 40, 0.3  # a long text repeats itself below this share of distinct 4-grams
MANY_CHARACTERS, SQUEEZED = 200, 4  # or if zlib makes it more than this factor smaller


def length_runaway(trace: Trace, limits: Limits) -> Event | None:
    """Fires if mean length is above `length_high` times its reference for a window.

    More than a quarter of the responses must also be cut off by the length limit.
    """
    length, window = trace.column(LENGTH_MEAN), window_of(trace, limits)
    start = reference(length, window)
    cut = trace.column(TRUNCATED_SHARE)
    grown = (length > limits.length_high * start) & (cut > CUT_WHILE_GROWING)
    index = held(grown, window)
    if index is None:
        return None
    evidence = (
        f"for {window} steps the responses were long: now {length[index]:.0f} tokens on average, "
        f"against {start:.0f} at the start, and {cut[index]:.0%} of them are cut off"
    )
    advice = (
        "read samples.jsonl to see whether the added text is reasoning or filler; a loss that is a "
        "mean over each sequence favours long responses"
    )
    return Event("length_runaway", "warn", trace.step(index), evidence, advice)


def length_collapse(trace: Trace, limits: Limits) -> Event | None:
    """Fires if mean length is below `length_low` times its reference for a window."""
    length, window = trace.column(LENGTH_MEAN), window_of(trace, limits)
    start = reference(length, window)
    index = held(length < limits.length_low * start, window)
    if index is None:
        return None
    evidence = (
        f"for {window} steps the responses were short: now {length[index]:.0f} tokens on average, "
        f"against {start:.0f} at the start"
    )
    advice = (
        "the policy may answer without reasoning; read samples.jsonl to see which responses get a "
        "reward"
    )
    return Event("length_collapse", "warn", trace.step(index), evidence, advice)


def truncation(trace: Trace, limits: Limits) -> Event | None:
    """Fires if, for a window, more than `truncated` of the responses are cut off."""
    cut, window = trace.column(TRUNCATED_SHARE), window_of(trace, limits)
    index = held(cut > limits.truncated, window)
    if index is None:
        return None
    evidence = (
        f"{cut[index]:.0%} of the responses are cut off at the length limit; the share was this "
        f"high for {window} steps"
    )
    advice = "a response that is cut off cannot be right; try a larger rollout.max_response_tokens"
    return Event("truncation", "warn", trace.step(index), evidence, advice)


def repetition(trace: Trace, limits: Limits) -> Event | None:
    """Fires if more than `repetitive` of a window's recorded responses repeat themselves."""
    window = window_of(trace, limits)
    steps = np.array([response.step for response in trace.responses], dtype=int)
    loops = np.array([repeats(response.text) for response in trace.responses], dtype=bool)
    for step in np.unique(steps[loops]).tolist():
        recent = loops[(steps > step - window) & (steps <= step)]
        if len(recent) >= FEWEST and recent.mean() > limits.repetitive:
            evidence = f"{recent.sum()} of {len(recent)} recorded responses repeat themselves"
            advice = "read samples.jsonl; try a smaller train.lr or a KL term"
            return Event("repetition", "warn", step, evidence, advice)
    return None


def repeats(text: str) -> bool:
    """Return whether a text repeats itself.

    A text of over 40 words repeats itself if it has few distinct word 4-grams. A text of over 200
    characters repeats itself if zlib makes it more than four times smaller.
    """
    words = text.split()
    grams = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    if len(words) > MANY_WORDS and len(set(grams)) < DISTINCT * len(grams):
        return True
    raw = text.encode("utf-8", "surrogatepass")
    return len(text) > MANY_CHARACTERS and len(raw) > SQUEEZED * len(zlib.compress(raw))
