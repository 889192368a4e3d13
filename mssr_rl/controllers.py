"""Controllers of the loss: the weights of the KL and of the entropy follow what a step measures.

    kl_coef      <- kl_coef * (1 + clip(KL / adaptive_kl - 1, -0.2, 0.2) * rollouts / horizon)
    entropy_coef <- entropy_coef + step   if H <= adaptive_entropy, else entropy_coef - step

The first is of Ziegler et al. (arXiv 1909.08593), as verl has it. The second is of Skywork-OR1
(arXiv 2505.22312), as TRL has it: it stays between 0 and its maximum, and a step whose H is above
the target has no entropy term. Every loss takes them as options. KL and H are those of the policy
that sampled the step's rollouts. A step trains with the weights of before, and then changes them.

Pure functions. The weights are part of a run's state, and of its checkpoints.

Shapes: B rollouts, T response tokens.
"""

from dataclasses import replace
from typing import NamedTuple

from mssr_rl.advantage.transform import Batch
from mssr_rl.errors import UserError
from mssr_rl.loss import PolicyLoss, kl
from mssr_rl.metric_names import ENTROPY_COEF, KL_COEF

FASTEST = 0.2  # largest relative error of the KL that counts, as in Ziegler et al.


class Coefficients(NamedTuple):
    """The weights of the KL and of the entropy in the next step."""

    kl: float
    entropy: float


class Steered(NamedTuple):
    """The loss of a step, the weights of the next step, and what metrics.jsonl shows of them."""

    loss: PolicyLoss
    after: Coefficients
    metrics: dict[str, float]


def initial_coefficients(loss: PolicyLoss) -> Coefficients:
    """Return the weights of the first step: those of the loss."""
    return Coefficients(loss.kl_coef, loss.entropy_coef)


def steered(loss: PolicyLoss, before: Coefficients, batch: Batch) -> Steered:
    """Return the loss of a step with its weights, and the weights after it.

    Raises `UserError` if the batch does not hold what a controller measures.
    """
    after, metrics = before, dict[str, float]()
    if loss.adaptive_kl is not None:
        horizon = loss.adaptive_kl_horizon or 10_000
        far = min(max(_kl(loss, batch) / loss.adaptive_kl - 1, -FASTEST), FASTEST)
        after = after._replace(kl=before.kl * (1 + far * len(batch.reward_B) / horizon))
        loss = replace(loss, kl_coef=before.kl)
        metrics[KL_COEF] = before.kl
    if loss.adaptive_entropy is not None:
        low = _entropy(batch) <= loss.adaptive_entropy
        size, most = loss.adaptive_entropy_step or 0.005, loss.adaptive_entropy_max or 1.0
        moved = before.entropy + (size if low else -size)
        after = after._replace(entropy=min(max(moved, 0.0), most))
        loss = replace(loss, entropy_coef=before.entropy if low else 0.0)
        metrics[ENTROPY_COEF] = loss.entropy_coef
    return Steered(loss, after, metrics)


def _kl(loss: PolicyLoss, batch: Batch) -> float:
    """Return the KL to the frozen model: the mean over tokens, then over responses [nat]."""
    if batch.logprob_ref_BT is None:
        raise UserError(
            "adaptive_kl needs the log-probabilities of the frozen model, which this batch does "
            "not hold"
        )
    mask_BT = batch.mask_BT.double()
    kl_BT = kl(batch.logprob_BT.double(), batch.logprob_ref_BT.double(), loss.kl_estimator)
    sum_B = kl_BT.masked_fill(mask_BT == 0, 0).sum(1)
    return (sum_B / mask_BT.sum(1).clamp(min=1)).mean().item()


def _entropy(batch: Batch) -> float:
    """Return the mean entropy over all response tokens [nat]."""
    if batch.entropy_BT is None:
        raise UserError(
            "adaptive_entropy needs the entropy of every token, which this batch does not hold"
        )
    mask_BT = batch.mask_BT.double()
    sum_ = batch.entropy_BT.double().masked_fill(mask_BT == 0, 0).sum()
    return (sum_ / mask_BT.sum().clamp(min=1)).item()
