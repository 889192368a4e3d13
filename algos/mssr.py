"""MVSR and MSSR: one rollout per problem, and memory in place of a group. arXiv 2512.18215.

    v(x)  = alpha(x) / (alpha(x) + beta(x))                     the tracked success rate
    A_i   = whiten over the batch (r_i - v(x_i))                MVSR, on every token of response i
    psi   = min(|A| / gamma, lam * H)                           H without gradient
    A_hat = A + psi                                             MSSR, token by token
    alpha(x) <- eta * alpha(x) + won,  beta(x) <- eta * beta(x) + 1 - won       after the advantages

eta follows the KL of recent updates (`mssr_rl.advantage.tracker`). The KL to the frozen initial
model, weight 0.01, is part of both methods; it is in the loss, as for all arms.

The text of the paper and its released code differ, and neither is called wrong here. These are the
text's values. The code has gamma = 2 and lam = 0.4 (it calls them kappa and alpha), which makes the
bonus five times smaller and never turns a penalty into a reward; it takes -p log p of the sampled
token for H, and lets eta rise with the KL. Set with gamma=2 lam=0.4 entropy=plogp
eta_schedule=released kl_source=reference kl_window=10; not yet reproduced is only the code's prior,
which costs rollouts before the first step.
"""

from typing import Literal

from mssr_rl.advantage import (
    Tracker,
    Transform,
    chain,
    shape_by_entropy,
    subtract_tracked_value,
    to_tokens,
    whiten_over_batch,
)
from mssr_rl.algos.base import Algorithm, register
from mssr_rl.loss import Loss

Normalisation = Literal["sequence", "token", "none"]


@register("mvsr")
def mvsr(
    *,
    tracker: Tracker = Tracker(),
    normalisation: Normalisation = "sequence",
    loss: Loss = Loss(),
) -> Algorithm:
    """Reward minus the problem's tracked success rate, whitened.

    Args:
        normalisation: whiten with every rollout (sequence) or every token counting once, or not
    """
    steps = _tracked_advantage(tracker, normalisation)
    return Algorithm(name="mvsr", advantage=chain(*steps), loss=loss)


@register("mssr")
def mssr(
    *,
    gamma: float = 0.4,
    lam: float = 2.0,
    entropy: Literal["full", "nll", "plogp"] = "full",
    tracker: Tracker = Tracker(),
    normalisation: Normalisation = "sequence",
    loss: Loss = Loss(),
) -> Algorithm:
    """MVSR with an entropy bonus on every token.

    Args:
        gamma: the bonus is at most |A| / gamma; at 1 and above it never flips a sign
        lam: weight of the token's entropy
        entropy: full: over the vocabulary; nll: -log p; plogp: -p log p of the sampled token
        normalisation: whiten with every rollout (sequence) or every token counting once, or not
    """
    steps = _tracked_advantage(tracker, normalisation)
    advantage = chain(*steps, shape_by_entropy(gamma, lam, entropy))
    return Algorithm(name="mssr", advantage=advantage, loss=loss)


def _tracked_advantage(tracker: Tracker, normalisation: Normalisation) -> list[Transform]:
    whiten = [] if normalisation == "none" else [whiten_over_batch(normalisation)]
    return [subtract_tracked_value(tracker), *whiten, to_tokens()]
