"""What always stops a run: numbers that are no numbers.

A step whose reward, log-probability, advantage, loss or gradient is not finite is never recorded
and never checkpointed, so the newest checkpoint is the last healthy policy.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from mssr_rl.errors import NotFinite


def check_finite(step: int, values: Mapping[str, Tensor | float]) -> None:
    """Stop the run at the first tensor or number that holds NaN or infinity, and name it."""
    for name, value in values.items():
        bad = int((~torch.isfinite(torch.as_tensor(value))).sum())
        if bad:
            size = torch.as_tensor(value).numel()
            raise NotFinite(
                f"step {step}: {name} is not finite ({bad} of {size} values); this step was not "
                "recorded. A smaller train.lr or train.max_grad_norm is the usual way out"
            )
