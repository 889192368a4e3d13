"""FlashREINFORCE: one rollout, the batch's mean as baseline, and a gate on drifted responses.

    d_t    = KL(Bernoulli(p_old_t), Bernoulli(p_t))             of the sampled token
    gate_i = 1 where the mean of d over response i is at most delta, else 0
    loss   = -(r_i - mean r) * gate_i * p_t / p_old_t           no clip

The loss is averaged over a response's tokens, then over all responses, including those with gate
0. Hu et al., September 2026. `batch_mean` is the advantage with the common loss. `kept` below 1 is
the paper's optional filter: a failure learns on that share of its tokens only, those of highest
entropy.

The gradient is that of the authors' function (yifanzhang-pro/FlashREINFORCE at d7604df), filter
included, on twenty batches (tests/algos/peers.json); delta 0.003 is its default. Elsewhere: verl
has 0.001, TRL 0.003, a recipe of slime 0.005. Their ratio is to the sampler's probabilities. Ours
is to those that the trainer computed for the policy that sampled, and `rollout.correction` accounts
for the difference. Molt and the authors give the ratio no gradient and weigh log p with it, which
is the same where the log-ratio is within +-30.
"""

from dataclasses import dataclass

import torch

from mssr_rl.advantage import chain, filter_of_failures, subtract_batch_mean, to_tokens
from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.loss import Aggregate, PolicyLoss, Signal, Surrogate, register_loss
from mssr_rl.options import require

LOG_RATIO_LIMIT = 30.0


@register_loss("flash_reinforce")
@dataclass(frozen=True, kw_only=True)
class GatedRatioLoss(PolicyLoss):
    """-A * ratio without a clip, and 0 for a response on which the policy has moved too far.

    Args:
        delta: a response learns while the mean binary KL of its tokens is at most this [nat]
    """

    kl_coef: float = 0.0
    aggregate: Aggregate = "seq-mean-token-mean"
    delta: float = 0.003

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.delta >= 0, "delta", self.delta, "at least 0")

    def surrogate(self, signal: Signal) -> Surrogate:
        """Return -A * ratio, times the gate."""
        difference_BT = signal.logprob_BT - signal.old_logprob_BT
        ratio_BT = difference_BT.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
        almost_1 = 1 - torch.finfo(ratio_BT.dtype).eps
        old_BT, new_BT = (
            x.detach().exp().clamp(max=almost_1) for x in (signal.old_logprob_BT, signal.logprob_BT)
        )
        others_BT = (1 - old_BT) * (torch.log1p(-old_BT) - torch.log1p(-new_BT))
        drift_B1 = signal.response_mean(others_BT - old_BT * difference_BT.detach())
        astray_BT = (drift_B1 > self.delta).expand_as(ratio_BT)
        token_loss_BT = (-signal.advantage_BT * ratio_BT).masked_fill(astray_BT, 0)
        return Surrogate(token_loss_BT, astray_BT)


@register("flash_reinforce")
def flash_reinforce(*, kept: float = 1.0, loss: GatedRatioLoss = GatedRatioLoss()) -> Algorithm:
    """Reward minus the batch's mean; responses on which the policy moved too far are left out.

    Args:
        kept: share of a failed response's tokens, those of highest entropy, that learn; 1: all
    """
    left = filter_of_failures(kept, by="entropy")
    return Algorithm(
        name="flash_reinforce",
        advantage=chain(subtract_batch_mean(), to_tokens(), *left),
        loss=loss,
        ablations={"without gate": {"delta": 1e9}},
    )
