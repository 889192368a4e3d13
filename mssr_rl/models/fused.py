"""RMSNorm, SwiGLU, rotary positions and attention, each with its gradient.

On a CPU in float32 they call the compiled code of `kernels/`, if there is a compiler (`native`).
Everywhere else they use torch's operations, except `attend`, which needs the compiled code. A test
compares the two, to the last bits of float32.

Shapes: N tokens one after the other, D hidden, Q query heads, K key-value heads, H values a head,
B sequences, P prompts of at most L tokens.
"""

from ctypes import byref
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from mssr_rl.models import native

if TYPE_CHECKING:
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
        Qwen2_5_VLMLP,
        Qwen2_5_VLRMSNorm,
        Qwen2MLP,
    )

Rotary = tuple[Tensor, Tensor]  # cosine and sine, each N H/2


class Planned(NamedTuple):
    """A plan's passes, whose tensors have no memory: no kernel runs (`planning.dry_run`)."""

    compiled: bool  # whether the planned device has the kernels


planned: Planned | None = None


def usable(*tensors: Tensor) -> bool:
    """Return whether compiled kernels exist and can process these tensors."""
    if planned is not None:
        return planned.compiled and all(x.dtype == torch.float32 for x in tensors)
    plain = all(x.device.type == "cpu" and x.dtype == torch.float32 for x in tensors)
    return plain and native.kernels().library is not None


def address(x: Tensor | None) -> int | None:
    """Return the memory address of a contiguous tensor, for a kernel; None for None.

    The caller must keep a reference to the tensor until the kernel has ended.
    """
    return None if x is None or planned is not None else x.data_ptr()


def run(name: str, *told: Any) -> None:
    """Call the kernel of this name. Contiguous tensors are passed by their address.

    Raises MemoryError if the kernel gets no memory, and IndexError for an unknown token.
    """
    if planned is not None:
        return
    arguments = (x.data_ptr() if isinstance(x, Tensor) else x for x in told)
    code = getattr(native.kernels().library, name)(*arguments)
    if code == native.NO_ROOM:
        raise MemoryError(f"no room for {name}")
    if code == native.NO_TOKEN:
        raise IndexError("a token beyond the vocabulary")


# ---- by module ----------------------------------------------------------------------------


def norm(module: "Qwen2_5_VLRMSNorm", x: Tensor) -> Tensor:
    """Return x after RMSNorm with the module's weight."""
    return rms_norm(x, module.weight, module.variance_epsilon)


def mlp(module: "Qwen2MLP | Qwen2_5_VLMLP", x: Tensor) -> Tensor:
    """Return the output of a layer's gated feed-forward module for x."""
    out: Tensor = module.down_proj(swiglu(module.gate_proj(x), module.up_proj(x)))
    return out


# ---- RMSNorm (arXiv:1910.07467) ------------------------------------------------------------


def rms_norm(x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """Return x divided by the root of its mean square along D, times the weight.

    y = w * x / r,   r = sqrt(mean(x^2) + eps)
    dL/dw = sum(g * x / r),   dL/dx = (g * w - x / r * mean(g * w * x / r)) / r
    """
    if not usable(x, weight_D):
        return F.rms_norm(x, x.shape[-1:], weight_D, eps)
    normed: Tensor = _RMSNorm.apply(x, weight_D, eps)  # type: ignore[no-untyped-call]
    return normed


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
        x, weight_D = x.contiguous(), weight_D.contiguous()
        y, inverse_N = torch.empty_like(x), x.new_empty(x.numel() // x.shape[-1])
        run("rms_norm", x, weight_D, y, inverse_N, len(inverse_N), x.shape[-1], eps)
        ctx.save_for_backward(x, weight_D, inverse_N)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight_D, inverse_N = ctx.saved_tensors
        g, of_x, of_weight = g.contiguous(), torch.empty_like(x), torch.empty_like(weight_D)
        tensors = (g, x, weight_D, inverse_N, of_x, of_weight)
        run("rms_norm_gradient", *tensors, len(inverse_N), x.shape[-1])
        return of_x, of_weight, None


# ---- SwiGLU (arXiv:2002.05202) -------------------------------------------------------------


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """Return silu(gate) * up."""
    if not usable(gate, up):
        return F.silu(gate) * up
    gated: Tensor = _SwiGLU.apply(gate, up)  # type: ignore[no-untyped-call]
    return gated


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        gate, up = gate.contiguous(), up.contiguous()
        y = torch.empty_like(gate)
        run("swiglu", gate, up, y, y.numel())
        ctx.save_for_backward(gate, up)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        g, of_gate, of_up = g.contiguous(), torch.empty_like(gate), torch.empty_like(up)
        run("swiglu_gradient", g, gate, up, of_gate, of_up, g.numel())
        return of_gate, of_up


# ---- rotary positions (arXiv:2104.09864) ---------------------------------------------------


def rotate(x_NQH: Tensor, rotary: Rotary) -> Tensor:
    """Return every head with its values rotated by its token's angles.

    Value i of the first half and value i of the second half are rotated as a pair.
    """
    cosine, sine = rotary
    if not usable(x_NQH, cosine):
        first, second = x_NQH.chunk(2, dim=-1)
        cosine, sine = (part[:, None].to(x_NQH.dtype) for part in rotary)
        # As complex numbers this alone took half the time, but a whole pass gained nothing
        # (docs/speed.md).
        turned = (first * cosine - second * sine, second * cosine + first * sine)
        return torch.cat(turned, dim=-1)
    rotated: Tensor = _Rotate.apply(x_NQH, cosine, sine)  # type: ignore[no-untyped-call]
    return rotated


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        cosine, sine = cosine.contiguous(), sine.contiguous()
        ctx.save_for_backward(cosine, sine)
        return _rotated(x, cosine, sine, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        cosine, sine = ctx.saved_tensors
        # The gradient of a rotation is the rotation back.
        return _rotated(g, cosine, sine, -1), None, None


def _rotated(x_NQH: Tensor, cosine: Tensor, sine: Tensor, sign: float) -> Tensor:
    x, (n, heads, size) = _inner(x_NQH), x_NQH.shape
    y = x.new_empty(n, heads, size)
    run("rotate", x, x.stride(0), cosine, sine, y, n, heads, size, sign)
    return y


def _inner(x_NQH: Tensor) -> Tensor:
    """Return the tensor itself if a token's heads are contiguous, else a contiguous copy."""
    dense = x_NQH.stride(2) == 1 and x_NQH.stride(1) == x_NQH.shape[2]
    return x_NQH if dense else x_NQH.contiguous()


# ---- attention -----------------------------------------------------------------------------


class PackedSequences(NamedTuple):
    """The first token and the length of B sequences, which are concatenated to N tokens."""

    first_B: Tensor  # int64: the first token of each
    length_B: Tensor  # int64

    @classmethod
    def of(cls, length_B: Tensor) -> "PackedSequences":
        """Return the first tokens and lengths of sequences with these lengths."""
        length_B = length_B.long()
        return cls(length_B.cumsum(0) - length_B, length_B)


class Before(NamedTuple):
    """The keys and values of P prompts, which B sequences of response tokens follow."""

    k_PLKH: Tensor
    v_PLKH: Tensor
    length_P: Tensor  # int64: how many of the L are real


def attend(
    q_NQH: Tensor,
    kv: tuple[Tensor, Tensor],
    sequences: PackedSequences,
    before: Before | None = None,
    *,
    causal: bool = True,
) -> Tensor:
    """Return grouped-query attention of concatenated sequences, shape [N, Q, H].

    A token attends to its prompt and to its own sequence: if `causal` only up to itself, otherwise
    to the whole sequence. It needs the compiled kernels (`usable`).
    """
    prompts = (None, None, None) if before is None else before
    attended: Tensor = _Attention.apply(q_NQH, *kv, *prompts, sequences, causal)  # type: ignore[no-untyped-call]
    return attended


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *told: Any) -> Tensor:
        q, k, v, prompt_k, prompt_v, length_P, sequences, causal = told
        q, k, v = _inner(q), _inner(k), _inner(v)
        if prompt_k is not None:
            prompt_k, prompt_v = prompt_k.contiguous(), prompt_v.contiguous()
        y, log_sum = q.new_empty(q.shape), q.new_empty(q.shape[:2])
        given = (q, k, v, prompt_k, prompt_v, *sequences, length_P)
        run("attention", byref(_told(given, causal)), y, log_sum)
        # The backward pass computes the attention weights again from `log_sum`; they are never
        # kept.
        ctx.save_for_backward(*given, y, log_sum)
        ctx.causal = causal
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        *given, y, log_sum = ctx.saved_tensors
        g = g.contiguous()
        inputs = given[:5]
        of_qkv = [x.new_empty(x.shape) for x in inputs[:3]]
        # Zeros, because all rollouts of a prompt add to its gradient.
        of_prompts = [None if x is None else torch.zeros_like(x) for x in inputs[3:]]
        outputs = (*of_qkv, *of_prompts)
        run("attention_gradient", byref(_told(given, ctx.causal)), g, y, log_sum, *outputs)
        return (*of_qkv, *of_prompts, None, None, None)


def _told(given: Any, causal: bool) -> native.Attention:
    q, k, v, prompt_k, _, first_B, _, _ = given
    prompts = len(first_B) if prompt_k is None else len(prompt_k)
    width = 0 if prompt_k is None else prompt_k.shape[1]
    return native.Attention(
        *map(address, given),
        *(len(first_B), max(1, len(first_B) // max(1, prompts)), q.shape[1], k.shape[1]),
        *(width, q.stride(0), k.stride(0), v.stride(0)),
        *(int(causal), q.shape[2]),
    )
