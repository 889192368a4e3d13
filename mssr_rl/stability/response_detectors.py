"""Detectors of what the responses look like: length, truncation, repetition."""

import zlib

import numpy as np

from mssr_rl.stability.limits import Limits
from mssr_rl.stability.trace import Event, Trace, held, reference, window_of

CUT_WHILE_GROWING = 0.25  # longer answers are only a run-away where many hit the limit
FEWEST = 10  # recorded responses that a share is taken of
MANY_WORDS, DISTINCT = 40, 0.3
MANY_CHARACTERS, SQUEEZED = 200, 4


def length_runaway(trace: Trace, limits: Limits) -> Event | None:
    """Mean length above `length_high` times its reference, a quarter of them cut, for a window."""
    length, window = trace.column("response_length/mean"), window_of(trace, limits)
    start = reference(length, window)
    cut = trace.column("response_length/clip_ratio")
    grown = (length > limits.length_high * start) & (cut > CUT_WHILE_GROWING)
    found = held(grown, window)
    if found is None:
        return None
    evidence = (
        f"{length[found]:.0f} tokens a response, {start:.0f} at the start, {cut[found]:.0%} cut "
        f"off, for {window} steps"
    )
    advice = "read samples.jsonl: more thought, or padding? A sequence-mean loss favours length"
    return Event("length_runaway", "warn", trace.step(found), evidence, advice)


def length_collapse(trace: Trace, limits: Limits) -> Event | None:
    """Mean length below `length_low` times its reference for a window."""
    length, window = trace.column("response_length/mean"), window_of(trace, limits)
    start = reference(length, window)
    found = held(length < limits.length_low * start, window)
    if found is None:
        return None
    evidence = (
        f"{length[found]:.0f} tokens a response, {start:.0f} at the start, for {window} steps"
    )
    advice = "the policy answers without reasoning; read samples.jsonl for what is paid"
    return Event("length_collapse", "warn", trace.step(found), evidence, advice)


def truncation(trace: Trace, limits: Limits) -> Event | None:
    """More than `truncated` of the responses are cut off for a window."""
    cut, window = trace.column("response_length/clip_ratio"), window_of(trace, limits)
    found = held(cut > limits.truncated, window)
    if found is None:
        return None
    evidence = f"{cut[found]:.0%} of the responses end at the length limit, for {window} steps"
    advice = "a larger rollout.max_response_tokens: a response that is cut off cannot be right"
    return Event("truncation", "warn", trace.step(found), evidence, advice)


def repetition(trace: Trace, limits: Limits) -> Event | None:
    """More than `repetitive` of the responses recorded over a window repeat themselves."""
    window = window_of(trace, limits)
    steps = np.array([response.step for response in trace.responses], dtype=int)
    loops = np.array([repeats(response.text) for response in trace.responses], dtype=bool)
    for step in np.unique(steps[loops]).tolist():
        recent = loops[(steps > step - window) & (steps <= step)]
        if len(recent) >= FEWEST and recent.mean() > limits.repetitive:
            evidence = f"{recent.sum()} of {len(recent)} recorded responses repeat themselves"
            advice = "read samples.jsonl; a smaller train.lr, or a KL term, keeps language intact"
            return Event("repetition", "warn", step, evidence, advice)
    return None


def repeats(text: str) -> bool:
    """Few distinct word 4-grams in a text of over 40 words, or one that zlib squeezes fourfold."""
    words = text.split()
    grams = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    if len(words) > MANY_WORDS and len(set(grams)) < DISTINCT * len(grams):
        return True
    raw = text.encode("utf-8", "surrogatepass")
    return len(text) > MANY_CHARACTERS and len(raw) > SQUEEZED * len(zlib.compress(raw))
