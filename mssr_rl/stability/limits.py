"""The thresholds of every detector, with their defaults: the options under `stability.`.

"For a window" means on as many steps in a row; a quantity's reference is its median over the run's
first window. A threshold that a healthy run comes near was moved away from it: docs/stability.md.
"""

from dataclasses import dataclass
from math import ceil
from typing import Literal

from mssr_rl.typed import COUNT, POSITIVE, SHARE, option


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a detector fires."""

    stop: Literal["collapse", "non_finite"] = option(
        "what ends a run with exit code 3: any collapse, or only numbers that are no numbers",
        "collapse",
    )
    window: int = option("fewest steps a condition must hold", 5, COUNT)
    window_share: float = option("and at least this share of the planned steps", 0.05, SHARE)
    accuracy_drop: float = option("collapse: validation this far below its best", 0.05, POSITIVE)
    no_answer_rise: float = option(
        "collapse: so many more rollouts without a readable answer", 0.5, SHARE
    )
    entropy_low: float = option("entropy below this multiple of its reference", 0.3, POSITIVE)
    entropy_high: float = option("entropy above this multiple of its reference", 3.0, POSITIVE)
    kl_step: float = option("KL of one step, nat per token, three times in a row", 0.1, POSITIVE)
    kl_ref: float = option("KL to the frozen model, nat per token", 0.5, POSITIVE)
    grad_factor: float = option("gradient norm above this multiple of its median", 10.0, POSITIVE)
    length_low: float = option("length below this multiple of its reference", 0.3, POSITIVE)
    length_high: float = option("length above this multiple of its reference", 2.0, POSITIVE)
    truncated: float = option("share of responses cut off by the length limit", 0.5, SHARE)
    repetitive: float = option("share of recorded responses that repeat themselves", 0.2, SHARE)
    zero_advantage: float = option("share of tokens that teach nothing", 0.9, SHARE)
    format_gain: float = option("format_only: answers came, right ones by less", 0.02, POSITIVE)
    plateau: float = option("reward rises by less over the run's second half", 0.02, POSITIVE)
    tracker_gap: float = option("tracked value away from the reward", 0.2, POSITIVE)
    ungraded: float = option("share of rollouts whose grading failed", 0.01, SHARE)

    def steps(self, planned: int) -> int:
        """The window of a run of so many steps."""
        return max(self.window, ceil(self.window_share * planned))
