"""How far the program that samples is from the one that trains, in log-probabilities.

Only where they are two programs. Rounding makes a small gap; a large one means that the sampler
answers for another policy than the one that is being trained: weights that did not arrive, or what
it remembers of old ones. Watched every step, the same way for every algorithm.

Shapes: B rollouts, T response tokens.
"""

from collections.abc import Mapping

from mssr_rl.config import Config
from mssr_rl.engine.protocol import Rollouts

MEAN, LARGEST = "sampler/logprob_gap_mean", "sampler/logprob_gap_max"

# The largest gap of a token that rounding explains [nat]. float32: 5e-6 was seen between vLLM and
# transformers; bfloat16: 0.05.
ALARM = {"float32": 5e-4, "bfloat16": 0.5}


def metrics(rollouts: Rollouts) -> dict[str, float]:
    """Mean and largest gap over the response tokens [nat]; nothing if there is one program only."""
    if rollouts.sampler_logprob_BT is None:
        return {}
    gap_BT = (rollouts.sampler_logprob_BT - rollouts.logprob_BT).abs()
    gap = gap_BT[rollouts.mask_BT > 0].double()
    return {MEAN: gap.mean().item(), LARGEST: gap.max().item()}


def alarms(measured: Mapping[str, float], config: Config) -> list[str]:
    """A sentence about a gap that rounding does not explain; none if all is well.

    Below top_p = 1 the sampler's probabilities are of another distribution, by design.
    """
    limit = config.cluster.mismatch_alarm or ALARM[config.engine.dtype]
    largest = measured.get(LARGEST, 0.0)
    if largest <= limit or config.rollout.top_p < 1:
        return []
    sentence = (
        f"warning: sampler and trainer differ by {largest:.2g} nat on a token (step "
        f"{measured['step']:.0f}; cluster.mismatch_alarm is {limit:g}): rollouts may be of another "
        "policy than the one that is trained"
    )
    return [sentence]
