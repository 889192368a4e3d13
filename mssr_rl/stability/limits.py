"""The thresholds of all detectors with their defaults: the options under `stability.`.

"For a window" means: on that many steps in a row. The reference of a quantity is its median over
the first window of the run. Thresholds keep a distance from healthy runs (docs/stability.md).
"""

from dataclasses import dataclass
from math import ceil
from typing import Literal

from mssr_rl.typed import COUNT, POSITIVE, SHARE, option


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The thresholds at which detectors fire."""

    stop: Literal["collapse", "non_finite"] = option(
        "what ends a run with exit code 3: any collapse, or only NaN and infinite numbers",
        "collapse",
    )
    window: int = option("fewest steps a condition must hold", 5, COUNT)
    window_share: float = option("and at least this share of the planned steps", 0.05, SHARE)
    accuracy_drop: float = option("collapse: validation this far below its best", 0.05, POSITIVE)
    no_answer_rise: float = option(
        "collapse: rise in the share of rollouts without a readable answer", 0.5, SHARE
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
    zero_advantage: float = option("share of tokens with an advantage of 0", 0.9, SHARE)
    format_gain: float = option(
        "format_only: right answers, as a share of answers, rise by less", 0.02, POSITIVE
    )
    plateau: float = option(
        "the reward rises by less in the second half of the run", 0.02, POSITIVE
    )
    tracker_gap: float = option("distance of the tracked value to the reward", 0.2, POSITIVE)
    ungraded: float = option("share of rollouts whose grading failed", 0.01, SHARE)

    def steps(self, planned: int) -> int:
        """Return the window, in steps, of a run with `planned` steps."""
        return max(self.window, ceil(self.window_share * planned))
