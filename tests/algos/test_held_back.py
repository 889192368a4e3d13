"""Twenty batches that no code was fitted to, against formulas of the papers written out in numpy.

Other seeds, widths, groups and drifts than in test_peers. The gradients here are taken by hand.
"""

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mssr_rl.advantage import Batch
from mssr_rl.algos import algorithms
from mssr_rl.loss import Signal, token_weights

Array = NDArray[np.float64]
FURTHEST = 1e-4
SEEDS = range(300, 320)
WIDTH = 31


class HeldBack(NamedTuple):
    """One batch: rewards [B], masks and log-probabilities [B, T], old and new."""

    group: int
    r: Array
    m: Array
    old: Array
    new: Array


def held_back(seed: int) -> HeldBack:
    rng = np.random.default_rng(seed)
    group, problems = int(rng.choice([2, 5, 8])), int(rng.integers(3, 9))
    b = group * problems
    r = rng.beta(0.4, 0.4, b) if seed % 2 else (rng.random(b) < rng.random()).astype(float)
    m = (np.arange(WIDTH) < rng.integers(1, WIDTH + 1, b)[:, None]).astype(float)
    old = -rng.gamma(1.0, 0.8, (b, WIDTH)) * m
    new = np.minimum(old + rng.normal(0, 0.25, (b, WIDTH)), -1e-3) * m
    return HeldBack(group, r, m, old, new)


def ours(name: str, x: HeldBack, **options: Any) -> tuple[float, Array]:
    """Value of the surrogate and its gradient by the new log-probabilities."""
    made = algorithms.make(name, **options)
    r, m, old, new = (torch.from_numpy(a) for a in (x.r, x.m, x.old, x.new))
    rows = torch.arange(len(r)) // x.group
    batch = Batch(r, rows, m, old, group_size=x.group, response_limit=WIDTH)
    a = made.advantage.update(r, batch, made.advantage.init(len(r))).advantage.double()
    leaf = new.clone().requires_grad_()
    loss = made.loss.surrogate(Signal(leaf, old, a, m)).token_loss_BT
    total = (loss * token_weights(m, made.loss).surrogate).sum()
    (gradient,) = torch.autograd.grad(total, leaf)
    return total.item(), gradient.numpy()


def group_advantage(x: HeldBack) -> Array:
    """(r - mean) / (std + 1e-6) of each group, std with n - 1; [B, 1]."""
    out = np.zeros(len(x.r))
    for start in range(0, len(x.r), x.group):
        here = slice(start, start + x.group)
        g = x.r[here]
        if g.max() - g.min() > 1e-9:
            out[here] = (g - g.mean()) / (g.std(ddof=1) + 1e-6)
    return out[:, None]


def per_response(x: HeldBack) -> Array:
    """Weights of the mean over tokens, then over responses."""
    return x.m / x.m.sum(1, keepdims=True) / len(x.r)


def gspo(x: HeldBack) -> tuple[float, Array]:
    a, length = group_advantage(x), x.m.sum(1, keepdims=True)
    s = np.exp(((x.new - x.old) * x.m).sum(1, keepdims=True) / length)
    low, high = 0.05, 0.08
    clipped = np.clip(s, 1 - low, 1 + high)
    value = -np.minimum(s * a, clipped * a).mean()
    active = np.where(a >= 0, s <= 1 + high, s >= 1 - low)
    return value, -(a * s * active) / length / len(x.r) * x.m


def cispo(x: HeldBack) -> tuple[float, Array]:
    weight = np.minimum(np.exp(x.new - x.old), 1.3) * group_advantage(x) * x.m / x.m.sum()
    return -(weight * x.new).sum(), -weight


def sapo(x: HeldBack) -> tuple[float, Array]:
    a, w = group_advantage(x), per_response(x)
    rho = np.exp(x.new - x.old)
    tau = np.where(a > 0, 1.0, 1.05)
    gate = 1 / (1 + np.exp(-tau * (rho - 1)))
    value = -(4 / tau * gate * a * w).sum()
    return value, -4 * gate * (1 - gate) * rho * a * w


def gmpo(x: HeldBack) -> tuple[float, Array]:
    a, length, bound = group_advantage(x), x.m.sum(1, keepdims=True), 0.2
    d = x.new - x.old
    # min(d, bound) where A > 0, max(d, -bound) where A < 0: a clip may take a gain away only.
    kept = np.where(a > 0, d <= bound, d >= -bound)
    held = np.where(kept, d, np.where(a > 0, bound, -bound)) * x.m
    mean = np.exp(held.sum(1, keepdims=True) / length)
    return -(a * mean).mean(), -(a * mean) * kept * x.m / length / len(x.r)


def opo(x: HeldBack) -> tuple[float, Array]:
    length = x.m.sum(1)
    a = np.zeros(len(x.r))
    for start in range(0, len(x.r), x.group):
        here = slice(start, start + x.group)
        a[here] = x.r[here] - (length[here] * x.r[here]).sum() / length[here].sum()
    return clipped_tokens(x, a[:, None])


def rae(x: HeldBack) -> tuple[float, Array]:
    a, average = np.zeros(len(x.r)), 0.0
    for i, reward in enumerate(x.r):
        a[i] = reward - average
        average = 0.95 * average + 0.05 * reward
    return clipped_tokens(x, a[:, None])


def clipped_tokens(x: HeldBack, a: Array) -> tuple[float, Array]:
    """The common loss: clip at 0.8 and 1.3, dual clip 3, mean over tokens."""
    rho, w = np.exp(x.new - x.old), x.m / x.m.sum()
    loss = -np.minimum(rho * a, np.clip(rho, 0.8, 1.3) * a)
    loss = np.where(a < 0, np.minimum(loss, -3 * a), loss)
    active = np.where(a >= 0, rho <= 1.3, (rho >= 0.8) & (rho <= 3))
    return (loss * w).sum(), -a * rho * active * w


def flash_reinforce(x: HeldBack) -> tuple[float, Array]:
    p, q = (np.where(x.m > 0, np.clip(np.exp(lp), 1e-12, 1 - 1e-12), 0.5) for lp in (x.old, x.new))
    d = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))) * x.m
    gate = (d.sum(1) / x.m.sum(1) <= 0.03)[:, None]
    weight = (x.r - x.r.mean())[:, None] * gate * np.exp(x.new - x.old) * per_response(x)
    return -weight.sum(), -weight


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "gspo": (gspo, {"clip_low": 0.05, "clip_high": 0.08}),
    "cispo": (cispo, {"clip_high": 0.3}),
    "sapo": (sapo, {}),
    "gmpo": (gmpo, {"log_clip_low": 0.2, "log_clip_high": 0.2}),
    "opo": (opo, {}),
    "rae": (rae, {}),
    "flash_reinforce": (flash_reinforce, {"delta": 0.03}),
}


@pytest.mark.parametrize("name", CASES)
def test_held_back_batches_agree_with_the_papers_formula(name: str) -> None:
    formula, options = CASES[name]
    furthest, steepest = 0.0, 0.0
    for x in map(held_back, SEEDS):
        (value, gradient), (said, slope) = ours(name, x, **options), formula(x)
        furthest = max(furthest, abs(value - said), np.abs(gradient - slope).max())
        steepest = max(steepest, np.abs(slope).max())
    assert furthest < FURTHEST
    assert steepest > 10 * FURTHEST  # there was something to compare
