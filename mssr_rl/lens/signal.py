"""How much there is to learn from a batch under an algorithm, in a few numbers. Pure.

Shapes: B rollouts, T response tokens.
"""

from torch import Tensor

from mssr_rl.metric_names import SIGNAL_TOKENS, SIGNAL_VARIANCE


def signal_metrics(advantage_BT: Tensor, mask_BT: Tensor) -> dict[str, float]:
    """Variance of the token advantages, and how many tokens' worth of signal they are.

    The effective sample size is (sum |A|)^2 / sum A^2: the number of tokens if all are pushed
    equally hard, one if one token has all the weight. Population variance.
    """
    a = advantage_BT[mask_BT > 0].double()
    squares = a.square().sum().item()
    return {
        SIGNAL_VARIANCE: a.var(correction=0).item() if len(a) else 0.0,
        SIGNAL_TOKENS: a.abs().sum().item() ** 2 / squares if squares else 0.0,
    }
