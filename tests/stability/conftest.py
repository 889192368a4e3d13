"""Synthetic runs: a healthy one, and changes that a test makes to it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from mssr_rl.stability.trace import EvaluationPoint, Trace

STEPS = 120
Curve = Callable[[float], float]  # step -> value

HEALTHY: Mapping[str, Curve] = {
    "reward/mean": lambda t: 0.40 + 0.15 * t / STEPS,
    "reward/no_answer_fraction": lambda t: 0.01,
    "reward/timeout_fraction": lambda t: 0.0,
    "reward/error_fraction": lambda t: 0.0,
    "critic/advantages/zero_fraction": lambda t: 0.3,
    "actor/entropy": lambda t: 0.16 * (1 - 0.5 * t / STEPS),  # a fall by half is healthy
    "actor/kl_step": lambda t: 0.001,
    "actor/kl_ref": lambda t: 0.1 * t / STEPS,
    "actor/grad_norm": lambda t: 0.4,
    "response_length/mean": lambda t: 21.0,
    "response_length/clip_ratio": lambda t: 0.0,
    "tracker/mean": lambda t: 0.48,
    "tracker/eta": lambda t: 0.95 + 0.001 * np.sin(t),
}
RISING = (0.45, 0.50, 0.53, 0.55, 0.56)  # at steps 0, 30, 60, 90, 120


class Synthetic:
    """Makes runs of 120 steps; a window of the detectors is 6 of them."""

    steps = STEPS

    def run(self, changed: Mapping[str, Curve] | None = None, **parts: Any) -> Trace:
        """Return a run that is healthy but for the changed curves, with one percent of noise."""
        rng = np.random.default_rng(0)
        curves = {**HEALTHY, **(changed or {})}
        rows = [
            {"step": t, **{k: f(t) * (1 + 0.01 * rng.standard_normal()) for k, f in curves.items()}}
            for t in range(1, STEPS + 1)
        ]
        return Trace(STEPS, rows, **{"marks": self.marks(*RISING), **parts})

    def marks(self, *accuracies: float, n: int = 512) -> tuple[EvaluationPoint, ...]:
        """Return evaluations at every 30th step."""
        return tuple(EvaluationPoint(30 * i, accuracy, n) for i, accuracy in enumerate(accuracies))

    def after(self, step: int, then: float, before: float) -> Curve:
        """Return a curve with one value before a step and another from that step on."""
        return lambda t: then if t >= step else before


@pytest.fixture(scope="session")
def made() -> Synthetic:
    return Synthetic()
