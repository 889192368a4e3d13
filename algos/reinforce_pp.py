"""REINFORCE++: returns whitened over the tokens of the batch, and a form with a group baseline.

    R_{i,t} = r_i at the last token of response i, 0 elsewhere
    G_{i,t} = sum over s >= t of discount^(s - t) * R_{i,s}
    A = (G - mu) / sqrt(max(var, 1e-8))

arXiv 2501.03262. `reinforce_pp_baseline` has r_i - mean_g in place of G.

mu and var (population) are taken over all response tokens of the batch, each counted once. A long
response therefore weighs more, as in OpenRLHF, the authors' code. With kl_in=reward, the way of the
paper and OpenRLHF, kl_coef * (lp_old - lp_ref) is subtracted from R_{i,t} at every token.

Elsewhere: EasyR1 and verl use Bessel's variance and add 1e-8 instead of clamping. OpenRLHF's
scripts for the baseline form have a KL loss with k2 and weight 1e-5. All algorithms here share k3
and 0.01.
"""

from typing import Literal

from mssr_rl.advantage import (
    chain,
    return_to_go,
    subtract_group_mean,
    subtract_kl_of_token,
    to_last_token,
    to_tokens,
    whiten_over_tokens,
)
from mssr_rl.algos.algorithm import Algorithm, register, without_kl
from mssr_rl.loss import Loss


@register("reinforce_pp")
def reinforce_pp(
    *, discount: float = 1.0, kl_in: Literal["loss", "reward"] = "loss", loss: Loss = Loss()
) -> Algorithm:
    """The discounted return, whitened over the tokens of the batch.

    Args:
        discount: per token; 1 gives every token of a response the same advantage
        kl_in: where the KL to the frozen model goes: a term of the loss, or a cost in the reward
    """
    steps = [to_last_token(), return_to_go(discount), whiten_over_tokens()]
    if kl_in == "reward":
        steps, loss = [steps[0], subtract_kl_of_token(loss.kl_coef), *steps[1:]], without_kl(loss)
    return Algorithm(name="reinforce_pp", advantage=chain(*steps), loss=loss)


@register("reinforce_pp_baseline")
def reinforce_pp_baseline(*, loss: Loss = Loss()) -> Algorithm:
    """Reward minus the group's mean, whitened over the tokens of the batch."""
    return Algorithm(
        name="reinforce_pp_baseline",
        advantage=chain(subtract_group_mean(), to_tokens(), whiten_over_tokens()),
        loss=loss,
        min_group_size=2,
        default_group_size=8,
    )
