"""The objective that every engine minimises on one micro-batch: a policy loss and extra terms.

    total = surrogate + kl_coef * KL(reference) - entropy_coef * H + text_kl_coef * KL(text only)

`loss` holds the formulas. An engine calls `prepared` once per update, and `objective` for each of
its micro-batches. `Extras` are terms that an algorithm adds to its loss; they need the policy in
training. An engine that cannot compute one raises an error; it never leaves a term out.

Shapes: B sequences of the micro-batch, T response tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mssr_rl.advantage.shaping import Uncertainty, entropy_of, shaped_by, shaping_metrics
from mssr_rl.loss import Estimator, PolicyLoss, Signal, Weights, kl, token_weights
from mssr_rl.metric_names import TEXT_KL
from mssr_rl.options import require


@dataclass(frozen=True, kw_only=True)
class LiveShaping:
    """A + min(|A| / gamma, lam * H) with H of the policy in training, without gradient (EA)."""

    gamma: float
    lam: float
    entropy: Uncertainty


@dataclass(frozen=True, kw_only=True)
class Extras:
    """Terms that an algorithm adds to the loss. The defaults add nothing."""

    entropy: Literal["full", "plogp"] = "full"  # the measure H in the entropy term
    text_kl_coef: float = 0.0  # weight of KL(policy, the same policy without the picture)
    text_kl_estimator: Estimator = "k2"  # k2 has the gradient of the KL in this direction
    live_shaping: LiveShaping | None = None

    def __post_init__(self) -> None:
        require(self.text_kl_coef >= 0, "text_kl_coef", self.text_kl_coef, "at least 0")


class Policy(NamedTuple):
    """Outputs of the policy in training on the micro-batch; both carry a gradient."""

    logprob_BT: Tensor
    entropy_BT: Tensor  # over the full vocabulary


class Given(NamedTuple):
    """The inputs that do not change during an update."""

    mask_BT: Tensor
    old_BT: Tensor  # log-probabilities under the rollout policy
    advantage_BT: Tensor
    reference_BT: Tensor
    anchor_BT: Tensor | None = None  # log-probabilities without pictures, if text_kl_coef > 0
    mark_BT: Tensor | None = None  # the result of `PolicyLoss.mark`, set by `prepared`

    def at(self, row_B: Tensor, width: int) -> "Given":
        """Return the rows `row_B`, cut to `width` tokens."""
        return Given(*(None if x is None else x[row_B, :width] for x in self))  # type: ignore[arg-type]


class Prepared(NamedTuple):
    """One optimiser update, before it is cut into micro-batches."""

    given: Given
    weights: Weights


def prepared(
    given: Given, loss: PolicyLoss, seed: int, counted_B: Tensor | None = None
) -> Prepared:
    """Compute what depends on a whole update: the token weights, and `PolicyLoss.mark`.

    `given` holds the rows of the update. `counted_B` says which of them count. `seed` is the seed
    of this update.
    """
    mask_BT = given.mask_BT if counted_B is None else given.mask_BT * counted_B[:, None]
    signal = Signal(given.old_BT, given.old_BT, given.advantage_BT, mask_BT)
    mark_BT = loss.mark(signal, torch.Generator().manual_seed(seed))
    weights = token_weights(given.mask_BT, loss, counted_B)
    return Prepared(given._replace(mark_BT=mark_BT), weights)


class Objective(NamedTuple):
    """One micro-batch's part of the sums of an update; parts of micro-batches and ranks add up."""

    total: Tensor  # the loss; call backward() on it
    pg: float
    kl: float
    clipped: float  # share of clipped tokens
    measured: Mapping[str, float]  # metrics of the extras, as keys of metrics.jsonl


def objective(
    policy: Policy, given: Given, weights: Weights, loss: PolicyLoss, extras: Extras
) -> Objective:
    """Return the loss of one micro-batch; `weights` are its rows of the update's token weights."""
    advantage_BT, measured = _shaped(policy, given, weights, extras.live_shaping)
    parts = loss.surrogate(
        Signal(policy.logprob_BT, given.old_BT, advantage_BT, given.mask_BT, given.mark_BT)
    )
    pg = (parts.token_loss_BT * weights.surrogate).sum()
    drift_BT = kl(policy.logprob_BT, given.reference_BT, loss.kl_estimator)
    drift = (drift_BT * weights.terms).sum()
    total = pg + loss.kl_coef * drift
    if loss.entropy_coef:
        entropy_BT = entropy_of(policy.logprob_BT, policy.entropy_BT, extras.entropy)
        total = total - loss.entropy_coef * (entropy_BT * weights.terms).sum()
    if extras.text_kl_coef:
        text_kl = _text_kl(policy, given, weights, extras.text_kl_estimator)
        total = total + extras.text_kl_coef * text_kl
        measured = {**measured, TEXT_KL: text_kl.item()}
    clipped = (parts.clipped_BT * weights.shares).sum()
    return Objective(total, pg.item(), drift.item(), clipped.item(), measured)


def _shaped(
    policy: Policy, given: Given, weights: Weights, shaping: LiveShaping | None
) -> tuple[Tensor, dict[str, float]]:
    """Return the advantages for the surrogate, and the metrics of the shaping."""
    if shaping is None:
        return given.advantage_BT, {}
    h_BT = entropy_of(policy.logprob_BT, policy.entropy_BT, shaping.entropy).detach().clamp(min=0)
    shaped = shaped_by(given.advantage_BT, h_BT, shaping.gamma, shaping.lam)
    return shaped.advantage_BT, shaping_metrics(given.advantage_BT, shaped, weights.shares)


def _text_kl(policy: Policy, given: Given, weights: Weights, estimator: Estimator) -> Tensor:
    if given.anchor_BT is None:
        raise ValueError("text_kl_coef needs the log-probabilities without pictures")
    return (kl(policy.logprob_BT, given.anchor_BT, estimator) * weights.shares).sum()


def added(parts: list[Objective]) -> tuple[Tensor, dict[str, float]]:
    """Return [pg, kl, clipped] as float64, and the metrics of the extras, summed over `parts`."""
    sums = torch.tensor([(p.pg, p.kl, p.clipped) for p in parts], dtype=torch.float64).sum(0)
    keys = {key for part in parts for key in part.measured}
    return sums, {key: sum(part.measured[key] for part in parts) for key in sorted(keys)}
