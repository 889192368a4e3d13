"""REINFORCE++: no baseline per problem, the batch is the scale. arXiv 2501.03262.

    R_{i,t} = r_i at the last token of response i, 0 elsewhere
    G_{i,t} = sum over s >= t of gamma^(s - t) * R_{i,s}
    A = (G - mu) / sqrt(max(var, 1e-8))

mu and var (population) over all response tokens of the batch, each counted once: a long response
weighs more, which is the convention of OpenRLHF, the authors' code.

Elsewhere: EasyR1 and verl use Bessel's variance and add 1e-8 instead of clamping. The paper and
OpenRLHF put the KL into the reward; here it is in the loss, as for all arms.
"""

from mssr_rl.advantage import chain, return_to_go, to_last_token, whiten_over_tokens
from mssr_rl.algos.base import Algorithm, register
from mssr_rl.loss import Loss


@register("reinforce_pp")
def reinforce_pp(*, gamma: float = 1.0, loss: Loss = Loss()) -> Algorithm:
    """The discounted return, whitened over the tokens of the batch.

    Args:
        gamma: discount per token; 1 gives every token of a response the same advantage
    """
    advantage = chain(to_last_token(), return_to_go(gamma), whiten_over_tokens())
    return Algorithm(name="reinforce_pp", advantage=advantage, loss=loss)
