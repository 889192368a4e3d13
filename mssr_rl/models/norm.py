"""RMSNorm with its gradient written out: half the time of torch's own on a CPU.

    y = w * x / r,   r = sqrt(mean(x^2) + eps)                      (arXiv:1910.07467)
    dL/dw = sum(g * x / r),   dL/dx = (g * w - x / r * mean(g * w * x / r)) / r

Torch differentiates it operation by operation, in twice as many passes over the activations. Part
of `lean`'s forward pass.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def rms_norm(x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """Divide x by the root of its mean square along the last dimension D; times the weight."""
    if x.device.type == "cpu" and x.dtype == torch.float32:
        normed: Tensor = _RMSNorm.apply(x, weight_D, eps)  # type: ignore[no-untyped-call]
        return normed
    return F.rms_norm(x, x.shape[-1:], weight_D, eps)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
        mean_square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_() / x.shape[-1]
        inverse = mean_square.add_(eps).rsqrt_()
        unit = x * inverse
        ctx.save_for_backward(unit, inverse, weight_D)
        y: Tensor = unit * weight_D
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, None]:
        unit, inverse, weight_D = ctx.saved_tensors
        along = g * unit
        mean = (along @ weight_D).div_(-weight_D.shape[0])[..., None]
        x_gradient = (g * weight_D).addcmul_(unit, mean).mul_(inverse)
        return x_gradient, along.flatten(0, -2).sum(0), None
