"""Measure how much learning signal a batch gives under an algorithm. Pure functions.

Shapes: B rollouts, T response tokens.
"""

from torch import Tensor

from mssr_rl.metric_names import SIGNAL_TOKENS, SIGNAL_VARIANCE


def signal_metrics(advantage_BT: Tensor, mask_BT: Tensor) -> dict[str, float]:
    """Return the variance (divided by n) and the effective sample size of the token advantages.

    The effective sample size is (sum |A|)^2 / sum A^2. If all tokens have the same |A|, it is the
    number of tokens. If only one token has an advantage, it is 1.
    """
    a = advantage_BT[mask_BT > 0].double()
    squares = a.square().sum().item()
    return {
        SIGNAL_VARIANCE: a.var(correction=0).item() if len(a) else 0.0,
        SIGNAL_TOKENS: a.abs().sum().item() ** 2 / squares if squares else 0.0,
    }
