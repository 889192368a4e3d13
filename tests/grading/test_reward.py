"""The reward is the verdict as a number."""

from typing import get_args

from mssr_rl.grading.reward import accuracy
from mssr_rl.grading.verify import Reason, Verdict


def test_only_a_correct_verdict_pays() -> None:
    paid = {reason: accuracy(Verdict(reason, "5")) for reason in get_args(Reason)}
    assert paid.pop("correct") == 1.0
    assert set(paid.values()) == {0.0}
