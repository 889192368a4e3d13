"""NoisyRollout: GRPO whose groups mix rollouts with clean and with noisy pictures. 2504.13055.

    half of a problem's rollouts see its picture, half sqrt(abar_t) * picture + sqrt(1 - abar_t) * n
    t = floor(noise_step * decay),  decay = 1 - sigmoid(decay_coef * (done - decay_mid))

n is standard normal noise, pixels are 0 to 1, done is the share of the run's steps, and abar_t
falls from 1 to 0.08 over 1,000 steps of a diffusion (`mssr_rl.views.diffused`). The advantage is
GRPO's over the whole group. The policy is trained with the clean picture on all rollouts, and the
ratio is to its own probabilities with the clean picture. So noise makes rollouts more different,
and nothing else changes.

Values are those of the authors' script for Geometry3K (NUS-TRAIL/NoisyRollout at 09347dd): 6 and 6
rollouts, noise_step 500, coefficient 30, middle at step 40 of 60, no KL. Its script for MMK12 has
450 and 60. The logged entropy is that at sampling time, with the picture that the rollout saw.
"""

from dataclasses import replace
from functools import partial

from mssr_rl.algos.algorithm import Algorithm, Distortion, register
from mssr_rl.algos.grpo import grpo
from mssr_rl.loss import Loss
from mssr_rl.options import require
from mssr_rl.views import annealed_noise


@register("noisy_rollout")
def noisy_rollout(
    *,
    distorted: float = 0.5,
    noise_step: int = 500,
    decay_coef: float = 30.0,
    decay_mid: float = 0.667,
    loss: Loss = Loss(kl_coef=0.0),
) -> Algorithm:
    """GRPO over groups in which half of the rollouts saw a noisy picture.

    Args:
        distorted: share of a problem's rollouts that see the noisy picture
        noise_step: strength of the noise when the run starts, as a step of the diffusion, 0 to 999
        decay_coef: how suddenly the noise ends
        decay_mid: share of the run after which half of the noise steps are left
    """
    require(0 <= noise_step < 1000, "noise_step", noise_step, "0 to 999")
    require(decay_coef > 0, "decay_coef", decay_coef, "above 0")
    require(0 <= decay_mid <= 1, "decay_mid", decay_mid, "between 0 and 1")
    change = partial(annealed_noise, noise_step=noise_step, decay=(decay_coef, decay_mid))
    noise = Distortion(change, "with noisy pictures", distorted)
    parts = {"without noise": {"algo": "grpo"}}
    return replace(grpo(), name="noisy_rollout", loss=loss, distortion=noise, ablations=parts)
