"""What one training step is measured by: pure functions from its rollouts to metrics.jsonl keys.

Names follow verl and EasyR1. Token means and shares are over the response tokens of all rollouts of
the step, under the policy that sampled them. What an update measures is the engine's to say, what a
tracker or a shaping step measures comes out of the advantage chain.

Shapes: B rollouts, T response tokens.
"""

from collections.abc import Sequence

from torch import Tensor

from mssr_rl.advantage.shaping import plogp
from mssr_rl.advantage.transform import Batch
from mssr_rl.loss import kl

FAILURES = ("wrong", "no_answer", "bad_format", "timeout", "error")
NO_SIGNAL = 1e-8  # an advantage smaller than this teaches nothing


def rollout_metrics(
    batch: Batch, advantage_BT: Tensor, reasons: Sequence[str], truncated_B: Tensor
) -> dict[str, float]:
    """Everything below in one dict; `reasons` and `truncated_B` have one entry per rollout."""
    return {
        **reward_metrics(batch.reward_B, reasons),
        **advantage_metrics(advantage_BT, batch.mask_BT),
        **policy_metrics(batch),
        **length_metrics(batch.mask_BT, truncated_B),
    }


def reward_metrics(reward_B: Tensor, reasons: Sequence[str]) -> dict[str, float]:
    """The mean reward, and the share of rollouts that failed for each reason."""
    shares = {
        f"reward/{name}_fraction": reasons.count(name) / _atleast1(reasons) for name in FAILURES
    }
    return {"reward/mean": _mean(reward_B), **shares}


def advantage_metrics(advantage_BT: Tensor, mask_BT: Tensor) -> dict[str, float]:
    """Moments of the final token advantages; `std` divides by n."""
    a = advantage_BT[mask_BT > 0].double()
    found = len(a) > 0
    return {
        "critic/advantages/mean": _mean(a),
        "critic/advantages/std": a.std(correction=0).item() if found else 0.0,
        "critic/advantages/min": a.min().item() if found else 0.0,
        "critic/advantages/max": a.max().item() if found else 0.0,
        "critic/advantages/zero_fraction": _mean(a.abs() < NO_SIGNAL),
    }


def policy_metrics(batch: Batch) -> dict[str, float]:
    """How unsure the rollout policy was, and how far it is from the frozen model [nat per token].

    `actor/plogp` is the -p log p of the sampled token that MSSR's code logs as entropy; the two are
    not comparable. Keys whose tensor the batch does not hold are left out.
    """
    on = batch.mask_BT > 0
    logprob = batch.logprob_BT[on].double()
    found = {"actor/plogp": _mean(plogp(logprob))}
    if batch.entropy_BT is not None:
        found["actor/entropy"] = _mean(batch.entropy_BT[on])
    if batch.logprob_ref_BT is not None:
        found["actor/kl_ref"] = _mean(kl(logprob, batch.logprob_ref_BT[on].double(), "k3"))
    return found


def length_metrics(mask_BT: Tensor, truncated_B: Tensor) -> dict[str, float]:
    """Response lengths in tokens; `clip_ratio` is the share cut off by the length limit."""
    length_B = mask_BT.sum(1)
    return {
        "response_length/mean": _mean(length_B),
        "response_length/max": length_B.max().item() if len(length_B) else 0.0,
        "response_length/clip_ratio": _mean(truncated_B),
    }


def _mean(x: Tensor) -> float:
    return x.double().mean().item() if x.numel() else 0.0


def _atleast1(items: Sequence[str]) -> int:
    return max(len(items), 1)
