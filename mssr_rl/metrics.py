"""The metrics of a training step: pure functions from its rollouts to keys of metrics.jsonl.

Names follow verl and EasyR1. Means and shares over tokens use the response tokens of all rollouts
of the step, under the policy that sampled them. Engines measure the updates; the advantage chain
measures its tracker and its shaping.

Shapes: B rollouts, T response tokens.
"""

from collections.abc import Sequence

from torch import Tensor

from mssr_rl.advantage.shaping import plogp
from mssr_rl.advantage.transform import Batch
from mssr_rl.loss import kl
from mssr_rl.metric_names import (
    ADVANTAGE_MAX,
    ADVANTAGE_MEAN,
    ADVANTAGE_MIN,
    ADVANTAGE_STD,
    ENTROPY,
    FAILURES,
    KL_REF,
    LENGTH_MAX,
    LENGTH_MEAN,
    PLOGP,
    REWARD_MEAN,
    TRUNCATED_SHARE,
    ZERO_ADVANTAGE_SHARE,
    failure_share,
)

NO_SIGNAL = 1e-8  # a smaller advantage counts as 0


def rollout_metrics(
    batch: Batch, advantage_BT: Tensor, reasons: Sequence[str], truncated_B: Tensor
) -> dict[str, float]:
    """Return the metrics of all functions below; `reasons` and `truncated_B` have B entries."""
    return {
        **reward_metrics(batch.reward_B, reasons),
        **advantage_metrics(advantage_BT, batch.mask_BT),
        **policy_metrics(batch),
        **length_metrics(batch.mask_BT, truncated_B),
    }


def reward_metrics(reward_B: Tensor, reasons: Sequence[str]) -> dict[str, float]:
    """Return the mean reward, and the share of rollouts that failed for each reason."""
    shares = {failure_share(name): reasons.count(name) / _atleast1(reasons) for name in FAILURES}
    return {REWARD_MEAN: _mean(reward_B), **shares}


def advantage_metrics(advantage_BT: Tensor, mask_BT: Tensor) -> dict[str, float]:
    """Return mean, std (divided by n), minimum and maximum of the final token advantages."""
    a = advantage_BT[mask_BT > 0].double()
    any_tokens = len(a) > 0
    return {
        ADVANTAGE_MEAN: _mean(a),
        ADVANTAGE_STD: a.std(correction=0).item() if any_tokens else 0.0,
        ADVANTAGE_MIN: a.min().item() if any_tokens else 0.0,
        ADVANTAGE_MAX: a.max().item() if any_tokens else 0.0,
        ZERO_ADVANTAGE_SHARE: _mean(a.abs() < NO_SIGNAL),
    }


def policy_metrics(batch: Batch) -> dict[str, float]:
    """Return entropy and KL to the frozen model of the rollout policy [nat per token].

    `actor/plogp` is -p log p of the sampled token. MSSR's code logs it as entropy, but the two are
    not comparable. Keys whose tensor is missing in the batch are left out.
    """
    on = batch.mask_BT > 0
    # float64 from here on: a sum of 100,000 float32 terms loses the digits that a KL lives in.
    logprob = batch.logprob_BT[on].double()
    metrics = {PLOGP: _mean(plogp(logprob))}
    if batch.entropy_BT is not None:
        metrics[ENTROPY] = _mean(batch.entropy_BT[on])
    if batch.logprob_ref_BT is not None:
        metrics[KL_REF] = _mean(kl(logprob, batch.logprob_ref_BT[on].double(), "k3"))
    return metrics


def length_metrics(mask_BT: Tensor, truncated_B: Tensor) -> dict[str, float]:
    """Return response lengths [tokens]; `clip_ratio` is the share cut off by the length limit."""
    length_B = mask_BT.sum(1)
    return {
        LENGTH_MEAN: _mean(length_B),
        LENGTH_MAX: length_B.max().item() if len(length_B) else 0.0,
        TRUNCATED_SHARE: _mean(truncated_B),
    }


def _mean(x: Tensor) -> float:
    return x.double().mean().item() if x.numel() else 0.0


def _atleast1(items: Sequence[str]) -> int:
    return max(len(items), 1)
