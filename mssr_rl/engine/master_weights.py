"""AdamW over float32 weights, for a policy that computes in float32 or in bfloat16.

A bfloat16 number has 8 significant bits. If a change below a 512th of the weight is added to such a
weight, it is lost. At a learning rate of 1e-6 nearly all changes are that small. So the optimiser
changes a float32 copy, the master weights. After each update the policy gets these weights, rounded
(mixed precision training, arXiv 1710.03740). Gradients of micro-batches are added up in float32
too. For a policy in float32, the master weights are its own weights.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mssr_rl.errors import UserError
from mssr_rl.models.tensors import load_optimiser, save_optimiser
from mssr_rl.stability.finite import check_gradients

Gradient = tuple[Tensor | None, ...]  # one for each parameter
OPTIMISER, MASTER = "optimiser.safetensors", "master_weights.safetensors"


class AdamWOptions(NamedTuple):
    """The options of AdamW, and the maximal norm to which gradients are clipped."""

    lr: float
    betas: tuple[float, float]
    weight_decay: float
    max_grad_norm: float


class MasterWeights:
    """The trained weights of a model in float32, and the AdamW optimiser that changes them.

    With `offload`, both are in main memory, and so are the gradients that are added up.
    """

    def __init__(
        self, model: torch.nn.Module, options: AdamWOptions, *, offload: bool = False
    ) -> None:
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.names = [name for name, _ in named]
        self.parameters = [p for _, p in named]
        self.masters = [_master(p, offload=offload) for p in self.parameters]
        self.optimiser = adamw(self.masters, options)
        self._max_grad_norm = options.max_grad_norm

    @property
    def copied(self) -> bool:
        """Whether the policy has copies of these weights: rounded ones, or on another device."""
        return any(m is not p for m, p in zip(self.masters, self.parameters, strict=True))

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """Return an iterator over (parameter name, master weight)."""
        return zip(self.names, self.masters, strict=True)

    def accumulate(self, gradient: Gradient) -> None:
        """Add the gradient of one micro-batch to the sum, in float32.

        The part of a parameter is None if the micro-batch does not use this parameter.
        """
        for master, part in zip(self.masters, gradient, strict=True):
            if part is not None:
                before = master.grad
                own = part.to(master.device, master.dtype).contiguous()
                master.grad = own if before is None else before.add_(own)

    def step(self) -> float:
        """Make one update from the sum of the gradients, and return its norm before clipping.

        Raises NonFinite if the norm is NaN or infinite; no weight is changed in that case.
        """
        gradients = [m.grad for m in self.masters if m.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        # Before clipping: it divides by the norm, so one NaN would reach every gradient and weight.
        check_gradients(norm, self.named())
        torch.nn.utils.clip_grads_with_norm_(self.masters, self._max_grad_norm, norm)
        self.optimiser.step()
        self._round()
        return float(norm)

    def clear(self) -> None:
        """Delete the sum of the gradients."""
        self.optimiser.zero_grad()

    @torch.no_grad()
    def _round(self) -> None:
        for master, parameter in zip(self.masters, self.parameters, strict=True):
            if master is not parameter:
                parameter.copy_(master)

    def save(self, folder: Path) -> None:
        """Write AdamW's state and, if the policy has rounded copies, the master weights."""
        save_optimiser(self.optimiser, folder / OPTIMISER, {})
        if self.copied:
            save_file({name: m.detach() for name, m in self.named()}, folder / MASTER)

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        """Load AdamW's state and the master weights that `save` wrote.

        The policy must be loaded before. Raises UserError if the policy is in bfloat16 and the
        checkpoint has no master weights.
        """
        load_optimiser(self.optimiser, folder / OPTIMISER)
        if not self.copied:
            return
        if not (folder / MASTER).is_file():
            raise UserError(
                f"{folder} has no {MASTER}: it was written with engine.dtype=float32, or the file "
                "was lost, and the bfloat16 weights alone do not continue the run; resume with "
                "engine.dtype=float32, or from an older checkpoint"
            )
        saved = load_file(folder / MASTER)
        for name, master in self.named():
            master.copy_(saved[name])
        self._round()


def adamw(weights: Sequence[Tensor], options: AdamWOptions) -> torch.optim.AdamW:
    """Return the AdamW optimiser of float32 weights.

    Raises ValueError for weights in any other precision, in which small updates would be lost.
    """
    low = sorted({str(w.dtype) for w in weights if w.dtype != torch.float32})
    if low:
        raise ValueError(
            f"AdamW would change {low[0]} weights in place, which loses most small updates; give "
            "it float32 copies (MasterWeights)"
        )
    return torch.optim.AdamW(
        weights,
        lr=options.lr,
        betas=options.betas,
        weight_decay=options.weight_decay,
        fused=True,
    )


def _master(parameter: Tensor, *, offload: bool) -> Tensor:
    """Return the parameter itself if it is float32 and may stay, else a float32 copy."""
    if offload:
        return parameter.detach().to("cpu", torch.float32, copy=True)
    return parameter if parameter.dtype == torch.float32 else parameter.detach().float()
