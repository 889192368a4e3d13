"""C-RF with negative token filtering: one rollout per problem, successes against failures.

    A_i = 1 / (2 p)             of a success, p the share of successes in the batch
        = -1 / (2 (1 - p))      of a failure, on its least likely tokens only, 0 on the others
    loss = mean over responses of 1 / length * sum over tokens of -A_t * clipped ratio

arXiv 2606.17250, "Rethinking Groups in Critic-Free RLVR": Contrastive-REINFORCE. The loss is half
the mean over successes of min(ratio, 1 + clip_high), minus half the mean over failures of
max(ratio, 1 - clip_low). The paper says that a group keeps failures from punishing tokens that are
not wrong. Leaving out most tokens of a failure does the same for single rollouts. Tokens that are
left out still count in the length. In a batch of one kind, A = 1 or -1. Clip 0.2 and 10, no KL.

No code of its authors was found (1 December 2026). Where the text leaves a choice: p is taken over
the whole rollout batch, the number of kept tokens is rounded up, "least likely" is by the policy
that sampled, and a success is a reward above 0.5.
"""

from mssr_rl.advantage import (
    chain,
    contrast_successes_with_failures,
    filter_of_failures,
    to_tokens,
)
from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.loss import Loss

LOSS = Loss(clip_high=10.0, dual_clip=None, kl_coef=0.0, aggregate="seq-mean-token-mean")


@register("c_rf")
def c_rf(*, kept: float = 0.1, loss: Loss = LOSS) -> Algorithm:
    """Successes against failures of the batch; a failure is punished on unlikely tokens only.

    Args:
        kept: share of a failed response's tokens, the least likely ones, that learn; 1: all
    """
    left = filter_of_failures(kept, by="probability")
    return Algorithm(
        name="c_rf",
        advantage=chain(contrast_successes_with_failures(), to_tokens(), *left),
        loss=loss,
        ablations={"without token filtering": {"kept": 1.0}},
    )
