"""From a verdict to the number a policy is trained on; `verify` makes the verdicts."""

from mssr_rl.grading.verify import Verdict


def accuracy(verdict: Verdict) -> float:
    """1 for a right answer in the right format, 0 for everything else (MSSR: format weight 0)."""
    return float(verdict.correct)
