"""The laws for policy losses.

Each law is a function that returns None, or a sentence that says how the loss breaks it. A loss is
checked as an engine uses it: `prepared` for a whole update, `objective` for each micro-batch. So a
loss that averages over its micro-batch breaks a law. A loss that computes such values in `mark`,
over the whole update, keeps it.

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
CLOSE = 1e-9  # tolerance in float64
FAR = 1e4  # a log-ratio far beyond those of a sound policy [nat]


class Learnt(NamedTuple):
    """The result of an update."""

    total: float
    gradient_BT: Tensor  # with respect to the log-probabilities
    clipped: float


def micro_batches(loss: PolicyLoss) -> str | None:
    """Check that an update gives the same result for every cut into micro-batches or ranks."""
    given, logprob_BT = _update()
    whole, parts = _learnt(loss, given, logprob_BT), _learnt(loss, given, logprob_BT, CUTS)
    return _differ(whole, parts, "cut into micro-batches an update gives another {what}")


def order(loss: PolicyLoss) -> str | None:
    """Check that the order of responses changes neither the loss nor the gradient of a token.

    Losses with a `mark` are not checked, because they may draw random numbers in order.
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
    """Check that values outside the responses have no influence, and a gradient of exactly 0."""
    given, logprob_BT = _update()
    plain = _learnt(loss, given, logprob_BT)
    off_BT = given.mask_BT == 0
    if (plain.gradient_BT[off_BT] != 0).any():
        return "a token outside a response has a gradient"
    noise = Given(*(None if x is None else x.masked_fill(off_BT, 3.0) for x in given))  # type: ignore[arg-type]
    noisy = noise._replace(mask_BT=given.mask_BT)
    loud = _learnt(loss, noisy, logprob_BT.masked_fill(off_BT, -9.0))
    broken = _differ(plain, loud, "what stands outside the responses changes the {what}")
    wide = Given(*(None if x is None else torch.nn.functional.pad(x, (0, 3)) for x in given))  # type: ignore[arg-type]
    wider = _learnt(loss, wide, torch.nn.functional.pad(logprob_BT, (0, 3)))
    narrow = wider._replace(gradient_BT=wider.gradient_BT[:, :WIDTH])
    return broken or _differ(plain, narrow, "more padding changes the {what}")


def fresh(loss: PolicyLoss) -> str | None:
    """Check that on fresh rollouts the gradient is that of A * log p.

    Another gradient is allowed if the loss gives the reason in `departs`.
    """
    given, _ = _update()
    weights = prepared(given, loss.within(WIDTH), SEED).weights
    gradient_BT = _learnt(loss, given, given.old_BT).gradient_BT
    wanted = -given.advantage_BT * weights.surrogate
    equal = torch.allclose(gradient_BT, wanted, rtol=0, atol=CLOSE)
    if equal or loss.departs:
        return None
    furthest = (gradient_BT - wanted).abs().max().item()
    return (
        f"on fresh rollouts the gradient is not that of A * log p (it is off by {furthest:.2g}); "
        "correct it, or give the reason in `departs`"
    )


def finite(loss: PolicyLoss) -> str | None:
    """Check that loss and gradient are finite for log-ratios up to +-1e4.

    This is checked in float32 and in bfloat16.
    """
    given, _ = _update()
    spread_T = torch.tensor([-FAR, -30.0, -1.0, 0.0, 30.0, FAR])
    for dtype in (torch.float32, torch.bfloat16):
        small = Given(*(None if x is None else x.to(dtype) for x in given))  # type: ignore[arg-type]
        far_BT = (given.old_BT + spread_T * given.mask_BT).to(dtype)
        learnt = _learnt(loss, small, far_BT)
        if not (math.isfinite(learnt.total) and learnt.gradient_BT.isfinite().all()):
            return (
                f"NaN or infinity at a log-ratio of +-{FAR:g} in {dtype}; bound it before exp() "
                "(Signal.log_ratio_BT does)"
            )
    return None


def pure(loss: PolicyLoss) -> str | None:
    """Check that inputs are not changed, and that the same inputs give the same loss."""
    given, logprob_BT = _update()
    signal = _signal(prepared(given, loss.within(WIDTH), SEED).given, logprob_BT)
    before = [x.clone() for x in signal if x is not None]
    first, again = loss.surrogate(signal), loss.surrogate(signal)
    if not all(
        torch.equal(a, b) for a, b in zip(before, (x for x in signal if x is not None), strict=True)
    ):
        return "an input of the loss was written to; work on a copy and return it"
    if fault := _form(first, given.mask_BT):
        return fault
    on_BT = given.mask_BT > 0
    if not torch.equal(first.token_loss_BT[on_BT], again.token_loss_BT[on_BT]):
        return "two calls with the same inputs give different losses; draw numbers in `mark` only"
    return None


def _form(result: Surrogate, mask_BT: Tensor) -> str | None:
    if result.token_loss_BT.shape != mask_BT.shape:
        return f"gives a loss of shape {list(result.token_loss_BT.shape)}, not one per token"
    if result.clipped_BT.shape != mask_BT.shape or result.clipped_BT.dtype != torch.bool:
        return "what counts as clipped must be a bool per token"
    return None


# ---- an update to hold it against ----


def _update() -> tuple[Given, Tensor]:
    """Return the inputs and the policy's log-probabilities of an update, in float64.

    The responses have several lengths and advantages of all signs. The policy has changed since
    they were sampled.
    """
    generator = torch.Generator().manual_seed(SEED)
    shape = (len(LENGTHS), WIDTH)
    mask_BT = (torch.arange(WIDTH) < torch.tensor(LENGTHS)[:, None]).double()
    mask_BT[4, 2:4] = 0.0  # tokens inside a response that have no loss, such as a tool's output
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
    """Return the loss with an aggregation that does not depend on the order of responses.

    The aggregation "micro-token-mean" depends on it by definition; this is no fault of the loss.
    """
    by_place = loss.aggregate == "micro-token-mean"
    return replace(loss, aggregate="token-mean", micro_size=None) if by_place else loss


def _learnt(
    loss: PolicyLoss,
    given: Given,
    logprob_BT: Tensor,
    cuts: tuple[tuple[int, int], ...] = ((0, len(LENGTHS)),),
) -> Learnt:
    """Compute the surrogate's part of an update, without the KL and entropy terms."""
    steady = replace(loss, adaptive_kl=None, adaptive_kl_horizon=None)
    alone = replace(steady, kl_coef=0.0, entropy_coef=0.0).within(WIDTH)
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
