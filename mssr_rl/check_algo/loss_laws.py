"""What must hold for the policy loss of every algorithm: a sentence for each way to fail.

Checked where an engine uses it: `prepared` for a whole update, `objective` for each micro-batch. So
a loss that takes a mean over its micro-batch is found out, and one that asks in `mark` is not.

Shapes: B responses of an update, T response tokens.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from mssr_rl.check_algo.batches import WIDTH
from mssr_rl.loss import PolicyLoss, Signal, Surrogate, Weights
from mssr_rl.objective import Extras, Given, Policy, objective, prepared

LENGTHS = (6, 1, 0, 4, 6, 2, 3, 1, 5, 6, 2, 0)  # B: full, one-token and empty responses
CUTS = ((0, 5), (5, 6), (6, 12))  # micro-batches of an update
SEED = 7
CLOSE = 1e-9  # of float64
FAR = 1e4  # a log-ratio that no sound policy has [nat]


class Learnt(NamedTuple):
    """What an update comes to."""

    total: float
    gradient_BT: Tensor  # with respect to the log-probabilities
    clipped: float


def micro_batches(loss: PolicyLoss) -> str | None:
    """An update gives the same however it is cut into micro-batches or ranks."""
    given, logprob_BT = _update()
    whole, parts = _learnt(loss, given, logprob_BT), _learnt(loss, given, logprob_BT, CUTS)
    return _differ(whole, parts, "cut into micro-batches an update gives another {what}")


def order(loss: PolicyLoss) -> str | None:
    """Responses in another order: the same loss, and every token its gradient.

    A loss that draws is given numbers in order, so only one that asks for no mark is held to it.
    """
    given, logprob_BT = _update()
    if loss.mark(_signal(given, logprob_BT), torch.Generator().manual_seed(SEED)) is not None:
        return None
    row_B = torch.randperm(len(LENGTHS), generator=torch.Generator().manual_seed(1))
    plain = _learnt(_one_by_one(loss), given, logprob_BT)
    moved = _learnt(_one_by_one(loss), given.at(row_B, WIDTH), logprob_BT[row_B])
    back = moved._replace(gradient_BT=moved.gradient_BT[row_B.argsort()])
    return _differ(plain, back, "responses in another order give another {what}")


def padding(loss: PolicyLoss) -> str | None:
    """What stands outside the responses plays no part, and has a gradient of exactly 0."""
    given, logprob_BT = _update()
    found = _learnt(loss, given, logprob_BT)
    off_BT = given.mask_BT == 0
    if (found.gradient_BT[off_BT] != 0).any():
        return "a token outside a response has a gradient"
    noise = Given(*(None if x is None else x.masked_fill(off_BT, 3.0) for x in given))  # type: ignore[arg-type]
    noisy = noise._replace(mask_BT=given.mask_BT)
    loud = _learnt(loss, noisy, logprob_BT.masked_fill(off_BT, -9.0))
    broken = _differ(found, loud, "what stands outside the responses changes the {what}")
    wide = Given(*(None if x is None else torch.nn.functional.pad(x, (0, 3)) for x in given))  # type: ignore[arg-type]
    wider = _learnt(loss, wide, torch.nn.functional.pad(logprob_BT, (0, 3)))
    narrow = wider._replace(gradient_BT=wider.gradient_BT[:, :WIDTH])
    return broken or _differ(found, narrow, "more padding changes the {what}")


def fresh(loss: PolicyLoss) -> str | None:
    """On fresh rollouts the gradient is that of A * log p, or the loss says why it is not."""
    given, _ = _update()
    weights = prepared(given, loss.within(WIDTH), SEED).weights
    found = _learnt(loss, given, given.old_BT).gradient_BT
    wanted = -given.advantage_BT * weights.surrogate
    equal = torch.allclose(found, wanted, rtol=0, atol=CLOSE)
    if equal or loss.departs:
        return None
    furthest = (found - wanted).abs().max().item()
    return (
        f"on fresh rollouts the gradient is not that of A * log p (it is off by {furthest:.2g}); "
        "mend it, or say why in `departs`"
    )


def finite(loss: PolicyLoss) -> str | None:
    """Loss and gradient are numbers for log-ratios up to +-1e4, in float32 and bfloat16."""
    given, _ = _update()
    spread_T = torch.tensor([-FAR, -30.0, -1.0, 0.0, 30.0, FAR])
    for dtype in (torch.float32, torch.bfloat16):
        small = Given(*(None if x is None else x.to(dtype) for x in given))  # type: ignore[arg-type]
        far_BT = (given.old_BT + spread_T * given.mask_BT).to(dtype)
        found = _learnt(loss, small, far_BT)
        if not (math.isfinite(found.total) and found.gradient_BT.isfinite().all()):
            return (
                f"NaN or infinity at a log-ratio of +-{FAR:g} in {dtype}; bound it before exp() "
                "(Signal.log_ratio_BT does)"
            )
    return None


def pure(loss: PolicyLoss) -> str | None:
    """Inputs stay as they are, and the same inputs give the same."""
    given, logprob_BT = _update()
    signal = _signal(prepared(given, loss.within(WIDTH), SEED).given, logprob_BT)
    before = [x.clone() for x in signal if x is not None]
    first, again = loss.surrogate(signal), loss.surrogate(signal)
    if not all(
        torch.equal(a, b) for a, b in zip(before, (x for x in signal if x is not None), strict=True)
    ):
        return "an input of the loss was written to; work on a copy and return it"
    if said := _form(first, given.mask_BT):
        return said
    on_BT = given.mask_BT > 0
    if not torch.equal(first.token_loss_BT[on_BT], again.token_loss_BT[on_BT]):
        return "two calls with the same inputs give different losses; draw numbers in `mark` only"
    return None


def _form(found: Surrogate, mask_BT: Tensor) -> str | None:
    if found.token_loss_BT.shape != mask_BT.shape:
        return f"gives a loss of shape {list(found.token_loss_BT.shape)}, not one per token"
    if found.clipped_BT.shape != mask_BT.shape or found.clipped_BT.dtype != torch.bool:
        return "what counts as clipped must be a bool per token"
    return None


# ---- an update to hold it against ----


def _update() -> tuple[Given, Tensor]:
    """float64: responses of all lengths, advantages of both signs and 0, a policy that moved."""
    generator = torch.Generator().manual_seed(SEED)
    shape = (len(LENGTHS), WIDTH)
    mask_BT = (torch.arange(WIDTH) < torch.tensor(LENGTHS)[:, None]).double()
    old_BT, moved_BT, reference_BT = (
        torch.rand(shape, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    advantage_B1 = torch.randn(shape[0], 1, generator=generator, dtype=torch.float64)
    advantage_B1[3] = 0.0
    old_BT, reference_BT = -2 * old_BT * mask_BT, -2 * reference_BT * mask_BT
    given = Given(mask_BT, old_BT, advantage_B1 * mask_BT, reference_BT)
    return given, (old_BT + (moved_BT - 0.5)) * mask_BT


def _signal(given: Given, logprob_BT: Tensor) -> Signal:
    plain = Signal(logprob_BT, given.old_BT, given.advantage_BT, given.mask_BT)
    return plain._replace(mark_BT=given.mark_BT)


def _one_by_one(loss: PolicyLoss) -> PolicyLoss:
    """An aggregation that goes by place in the update is not the loss's own doing."""
    by_place = loss.aggregate == "micro-token-mean"
    return replace(loss, aggregate="token-mean", micro_size=None) if by_place else loss


def _learnt(
    loss: PolicyLoss,
    given: Given,
    logprob_BT: Tensor,
    cuts: tuple[tuple[int, int], ...] = ((0, len(LENGTHS)),),
) -> Learnt:
    """The surrogate's part of an update; KL and entropy are the machinery's own."""
    alone = replace(loss, kl_coef=0.0, entropy_coef=0.0).within(WIDTH)
    whole = prepared(given, alone, SEED)
    leaf_BT = logprob_BT.detach().clone().requires_grad_()
    total, clipped = torch.zeros((), dtype=torch.float64), 0.0
    for begin, end in cuts:
        here = torch.arange(begin, end)
        part = objective(
            Policy(leaf_BT[here], torch.zeros_like(leaf_BT[here])),
            whole.given.at(here, leaf_BT.shape[1]),
            Weights(*(w[here] for w in whole.weights)),
            alone,
            Extras(),
        )
        total, clipped = total + part.total, clipped + part.clipped
    (gradient_BT,) = torch.autograd.grad(total, leaf_BT)
    return Learnt(total.item(), gradient_BT, clipped)


def _differ(one: Learnt, two: Learnt, says: str) -> str | None:
    if not torch.allclose(one.gradient_BT, two.gradient_BT, rtol=0, atol=CLOSE):
        return says.format(what="gradient")
    if not math.isclose(one.total, two.total, abs_tol=CLOSE):
        return says.format(what="loss")
    if not math.isclose(one.clipped, two.clipped, abs_tol=CLOSE):
        return says.format(what="clipped share")
    return None
