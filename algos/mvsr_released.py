"""MVSR as its authors' code computes it. arXiv 2512.18215, code ruiiu/MSSR.

This is the function of `mvsr` with other values:

    eta rises with the KL up to its target and drops just above it      eta_schedule=released
    that KL is to the frozen initial model, over 10 steps               kl_source=reference
    one initial answer to every problem, worth eight                    prior=rollouts, n_init=1

Two points still differ from the code. The KL is summed over response tokens only; the code's sum
is unmasked and can include a padding term. Checkpoints hold the tracker; the code resumes with a
fresh one.
"""

from dataclasses import replace

from mssr_rl.advantage import Tracker
from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.algos.mvsr import Normalisation, mvsr
from mssr_rl.loss import Loss

TRACKER = Tracker(
    eta_schedule="released", kl_source="reference", kl_window=10, prior="rollouts", n_init=1
)
INITIAL = {"without initial rollouts": {"prior": "uniform", "n_init": None}}


@register("mvsr_released")
def mvsr_released(
    *,
    tracker: Tracker = TRACKER,
    normalisation: Normalisation = "sequence",
    loss: Loss = Loss(),
) -> Algorithm:
    """MVSR as its authors' code computes it.

    Args:
        normalisation: whiten over rollouts (sequence) or over tokens (token), or not at all (none)
    """
    made = mvsr(tracker=tracker, normalisation=normalisation, loss=loss)
    return replace(made, name="mvsr_released", ablations={**made.ablations, **INITIAL})
