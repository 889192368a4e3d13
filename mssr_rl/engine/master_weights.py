"""AdamW over float32 weights, for a policy that computes in float32 or in bfloat16.

A bfloat16 has 8 significant bits. A change below a 512th of a weight is lost when it is added to
such a weight, and at a learning rate of 1e-6 nearly every change is that small. So the optimiser
changes a float32 master copy, and the policy gets the rounded copy after each update (mixed
precision training, arXiv 1710.03740). Gradients of micro-batches are added up in float32 too. A
policy in float32 is its own master.
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
    """The options of AdamW, and the bound of the gradient's norm."""

    lr: float
    betas: tuple[float, float]
    weight_decay: float
    max_grad_norm: float


class MasterWeights:
    """The trained weights in float32, and AdamW over them."""

    def __init__(self, model: torch.nn.Module, options: AdamWOptions) -> None:
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.names = [name for name, _ in named]
        self.parameters = [p for _, p in named]
        self.masters = [_master(p) for p in self.parameters]
        self.optimiser = adamw(self.masters, options)
        self._max_grad_norm = options.max_grad_norm

    @property
    def copied(self) -> bool:
        """Whether the policy computes with rounded copies of these weights."""
        return any(m is not p for m, p in zip(self.masters, self.parameters, strict=True))

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """Yield each master with its parameter's name."""
        return zip(self.names, self.masters, strict=True)

    def accumulate(self, gradient: Gradient) -> None:
        """Add a micro-batch's gradient, in float32.

        A part is None where no problem of the micro-batch reaches the parameter.
        """
        for master, part in zip(self.masters, gradient, strict=True):
            if part is not None:
                before = master.grad
                own = part.to(master.dtype).contiguous()
                master.grad = own if before is None else before.add_(own)

    def step(self) -> float:
        """Make one update from the gradients added up, and return their norm before clipping.

        Raises NonFinite, with all weights as they were, if the norm is NaN or infinite.
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
        """Forget the gradients."""
        self.optimiser.zero_grad()

    @torch.no_grad()
    def _round(self) -> None:
        for master, parameter in zip(self.masters, self.parameters, strict=True):
            if master is not parameter:
                parameter.copy_(master)

    def save(self, folder: Path) -> None:
        """Write AdamW's state and, if the policy holds rounded copies, the masters."""
        save_optimiser(self.optimiser, folder / OPTIMISER, {})
        if self.copied:
            save_file({name: m.detach() for name, m in self.named()}, folder / MASTER)

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        """Continue from what `save` wrote; the policy has been loaded before.

        Raises UserError if the checkpoint has no masters although the policy is in bfloat16.
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
    """Return AdamW over float32 weights.

    Raises ValueError for any other precision, because small updates would be lost in it.
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


def _master(parameter: Tensor) -> Tensor:
    """Return the parameter itself in float32, or a float32 copy of it."""
    return parameter if parameter.dtype == torch.float32 else parameter.detach().float()
