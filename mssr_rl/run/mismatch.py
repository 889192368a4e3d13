"""Measures how far the sampler's log-probabilities are from the trainer's.

This matters only where two programs sample and train, such as vLLM and transformers. Rounding makes
a small gap. A large gap means that the sampler uses another policy than the trainer: new weights
did not arrive, or it cached values of old ones. Every algorithm is checked at every step.

Shapes: B rollouts, T response tokens.
"""

from collections.abc import Mapping

import torch

from mssr_rl.config import Config
from mssr_rl.engine_protocol import Rollouts
from mssr_rl.metric_names import SAMPLER_GAP_MAX, SAMPLER_GAP_MEAN, SAMPLER_KL

# The largest gap of a token that rounding can explain [nat]. Measured between vLLM and
# transformers: 5e-6 with float32, 0.05 with bfloat16.
KL_LIMIT = 0.015  # nat per token, where prime-rl's developers refuse a change
ALARM = {"float32": 5e-4, "bfloat16": 0.5}


def metrics(rollouts: Rollouts) -> dict[str, float]:
    """Return the gap between the two log-probabilities of the response tokens, as metrics [nat].

    The metrics are its mean, its maximum, and the KL from sampler to trainer. Returns {} if one
    program both samples and trains.
    """
    if rollouts.sampler_logprob_BT is None:
        return {}
    on_BT = rollouts.mask_BT > 0
    difference = (rollouts.logprob_BT - rollouts.sampler_logprob_BT)[on_BT].double()
    gap = difference.abs()
    return {
        SAMPLER_GAP_MEAN: gap.mean().item(),
        SAMPLER_GAP_MAX: gap.max().item(),
        SAMPLER_KL: (torch.expm1(difference) - difference).mean().item(),
    }


def alarms(measured: Mapping[str, float], config: Config) -> list[str]:
    """Return one warning if the gap is larger than rounding explains; else an empty list.

    With top_p < 1 there is no warning: the sampler's distribution is then different by design.
    """
    if config.rollout.top_p < 1:
        return []
    limit = config.cluster.mismatch_alarm or ALARM[config.engine.dtype]
    largest, drift = measured.get(SAMPLER_GAP_MAX, 0.0), measured.get(SAMPLER_KL, 0.0)
    if drift > KL_LIMIT:
        sentence = (
            f"warning: the KL from sampler to trainer is {drift:.2g} nat per token (step "
            f"{measured['step']:.0f}), above {KL_LIMIT}: rollouts are of another policy than the "
            "one that is trained; look for a cause, or weigh them with rollout.correction"
        )
        return [sentence]
    if largest <= limit:
        return []
    sentence = (
        f"warning: sampler and trainer differ by {largest:.2g} nat on a token (step "
        f"{measured['step']:.0f}; cluster.mismatch_alarm is {limit:g}): rollouts may be of another "
        "policy than the one that is trained"
    )
    return [sentence]
