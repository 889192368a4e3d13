"""ReMax: the reward of a greedy response is the baseline. arXiv 2310.10505.

    A_i = r_i - r(greedy response to the same problem)          on every token of response i

Every step samples one more response to each of its problems, with temperature 0. It is graded and
charged to the budget, and the policy does not train on it. So from the same budget, with one
rollout per problem, this algorithm makes half as many updates as the others.

The paper gives the KL to the reward, per token; here it is the common one, in the loss. Elsewhere:
verl's advantage is the same function (tests/algos/peers.json), and its trainer also samples one
greedy response to each problem of a batch. OpenRLHF and TRL do not have it.
"""

from mssr_rl.advantage import chain, subtract_greedy_reward, to_tokens
from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.loss import Loss


@register("remax")
def remax(*, loss: Loss = Loss()) -> Algorithm:
    """Reward minus the reward of a greedy response to the same problem."""
    return Algorithm(
        name="remax",
        advantage=chain(subtract_greedy_reward(), to_tokens()),
        loss=loss,
        greedy_baseline=True,
    )
