"""The objective that all engines minimise: the policy loss and the extra terms of an algorithm.

    total = surrogate + kl_coef * KL(reference) - entropy_coef * H
            + nll_coef * (-log p) + sum over views of coef * KL(policy, view)

The formulas are in `loss`. An engine calls `prepared` once per update, and `objective` for each of
its micro-batches. `Extras` are terms that an algorithm adds to its loss, computed with the policy
in training. An engine that cannot compute a term must raise an error.

Shapes: B sequences of the micro-batch, T response tokens.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mssr_rl.advantage.shaping import Uncertainty, entropy_of, shaped_by, shaping_metrics
from mssr_rl.correction import Correction, correction_weights
from mssr_rl.loss import Estimator, PolicyLoss, Signal, Weights, kl, token_weights
from mssr_rl.options import require
from mssr_rl.problem import Problem


@dataclass(frozen=True, kw_only=True)
class LiveShaping:
    """The options of advantages shaped by entropy: A + min(|A| / gamma, lam * H) (EA).

    A is the advantage and H the entropy of the policy in training, without gradient.
    """

    gamma: float
    lam: float
    entropy: Uncertainty


@dataclass(frozen=True, kw_only=True)
class ViewTerm:
    """A loss term: coef * the token mean of KL(policy, the same policy for a view of the problem).

    `change` returns the view of a problem, for example the problem without its picture. It must be
    a module's function, or a partial of one, because other processes call it. Its random numbers
    must come from the seed only. The response tokens are those of the rollouts. `gradient` decides
    which side of the KL has a gradient:

        policy   the view is fixed: log-probabilities of the rollout policy, one pass per step
        view     the policy is fixed; the view is computed again in every update
        both     both sides have a gradient
    """

    metric: str  # the key of its KL in metrics.jsonl
    says: str  # a short description of the view: "without the picture"
    change: Callable[[Problem, int], Problem]  # (problem, seed) -> problem
    coef: float  # above 0 pulls the two distributions together, below 0 pushes them apart
    estimator: Estimator = "k3"
    gradient: Literal["policy", "view", "both"] = "policy"

    @property
    def live(self) -> bool:
        """Whether the view is computed again in every update."""
        return self.gradient != "policy"


@dataclass(frozen=True, kw_only=True)
class Extras:
    """Terms that an algorithm adds to the loss. The defaults add nothing."""

    entropy: Literal["full", "plogp"] = "full"  # the measure H in the entropy term
    views: tuple[ViewTerm, ...] = ()
    nll_coef: float = 0.0  # weight of -log p of the sampled tokens, which keeps entropy low
    live_shaping: LiveShaping | None = None

    def __post_init__(self) -> None:
        names = [term.metric for term in self.views]
        require(self.nll_coef >= 0, "nll_coef", self.nll_coef, "at least 0")
        says = "of different metrics: each is logged"
        require(len(set(names)) == len(names), "views", names, says)


class Policy(NamedTuple):
    """The outputs of the policy in training for one micro-batch, with gradient."""

    logprob_BT: Tensor
    entropy_BT: Tensor  # over the full vocabulary
    views_BT: tuple[Tensor, ...] = ()  # log-probabilities under each live view, in their order


class Given(NamedTuple):
    """The inputs that do not change during an update."""

    mask_BT: Tensor
    old_BT: Tensor  # log-probabilities under the rollout policy
    advantage_BT: Tensor
    reference_BT: Tensor
    anchor_BTK: Tensor | None = None  # log-probabilities under the K views; of live ones 0
    sampler_BT: Tensor | None = None  # log-probabilities by the sampler, if it is another program
    mark_BT: Tensor | None = None  # the result of `PolicyLoss.mark`, set by `prepared`

    def at(self, row_B: Tensor, width: int) -> "Given":
        """Return these inputs for the rollouts `row_B` only, and the first `width` tokens."""
        return Given(*(None if x is None else x[row_B, :width] for x in self))  # type: ignore[arg-type]


class Prepared(NamedTuple):
    """The inputs and token weights of one whole optimiser update."""

    given: Given
    weights: Weights


def prepared(
    given: Given,
    loss: PolicyLoss,
    seed: int,
    counted_B: Tensor | None = None,
    correction: Correction = Correction(),
) -> Prepared:
    """Return the inputs of one optimiser update with its token weights and `PolicyLoss.mark`.

    Both depend on all rollouts of the update, which are the rows of `given`. Rollouts where
    `counted_B` is False have no part in the loss; None: all count. `seed` is the update's seed.
    """
    # `mark` sees only what counts: a rollout without a reward must not move another one's mark.
    mask_BT = given.mask_BT if counted_B is None else given.mask_BT * counted_B[:, None]
    signal = Signal(given.old_BT, given.old_BT, given.advantage_BT, mask_BT)
    mark_BT = loss.mark(signal, torch.Generator().manual_seed(seed))
    weights = token_weights(given.mask_BT, loss, counted_B)
    if given.sampler_BT is not None and correction.method != "none":
        corrected_BT = correction_weights(given.old_BT, given.sampler_BT, mask_BT, correction)
        # Only the surrogate is corrected: it is the term whose gradient is a policy gradient.
        weights = weights._replace(surrogate=weights.surrogate * corrected_BT)
    return Prepared(given._replace(mark_BT=mark_BT), weights)


class Objective(NamedTuple):
    """The loss and statistics of one micro-batch, as parts of the sums over the whole update."""

    total: Tensor  # the loss; call backward() on it
    pg: float
    kl: float
    clipped: float  # share of clipped tokens
    measured: Mapping[str, float]  # metrics of the extras, as keys of metrics.jsonl


def objective(
    policy: Policy, given: Given, weights: Weights, loss: PolicyLoss, extras: Extras
) -> Objective:
    """Return the loss and statistics of one micro-batch.

    `weights` are the micro-batch's rows of the update's token weights.
    """
    advantage_BT, measured = _shaped(policy, given, weights, extras.live_shaping)
    parts = loss.surrogate(
        Signal(policy.logprob_BT, given.old_BT, advantage_BT, given.mask_BT, given.mark_BT)
    )
    # Every term is a weighted sum, so parts of micro-batches and ranks add up without a division.
    pg = (parts.token_loss_BT * weights.surrogate).sum()
    drift_BT = kl(policy.logprob_BT, given.reference_BT, loss.kl_estimator)
    drift = (drift_BT * weights.terms).sum()
    total = pg + loss.kl_coef * drift
    if loss.entropy_coef:
        entropy_BT = entropy_of(policy.logprob_BT, policy.entropy_BT, extras.entropy)
        total = total - loss.entropy_coef * (entropy_BT * weights.terms).sum()
    if extras.nll_coef:
        # `logprob` is below 0: subtracting it adds -log p, which the optimiser makes small.
        total = total - extras.nll_coef * (policy.logprob_BT * weights.shares).sum()
    for term, view_BT in zip(extras.views, _views(policy, given, extras), strict=True):
        distance = _distance(policy.logprob_BT, view_BT, term, weights)
        total = total + term.coef * distance
        measured = {**measured, term.metric: distance.item()}
    clipped = (parts.clipped_BT * weights.shares).sum()
    return Objective(total, pg.item(), drift.item(), clipped.item(), measured)


def _shaped(
    policy: Policy, given: Given, weights: Weights, shaping: LiveShaping | None
) -> tuple[Tensor, dict[str, float]]:
    """Return the advantages for the surrogate, and the metrics of the shaping."""
    if shaping is None:
        return given.advantage_BT, {}
    # Detached: the bonus weighs a token; it must not reward unsureness. With a gradient through
    # H the policy would raise its entropy directly.
    h_BT = entropy_of(policy.logprob_BT, policy.entropy_BT, shaping.entropy).detach().clamp(min=0)
    shaped = shaped_by(given.advantage_BT, h_BT, shaping.gamma, shaping.lam)
    return shaped.advantage_BT, shaping_metrics(given.advantage_BT, shaped, weights.shares)


def _views(policy: Policy, given: Given, extras: Extras) -> list[Tensor]:
    """Return the log-probabilities under every view, in the order of `extras.views`.

    Raises ValueError if those of a fixed view are missing.
    """
    live = iter(policy.views_BT)
    views_BT: list[Tensor] = []
    for k, term in enumerate(extras.views):
        if term.live:
            views_BT.append(next(live))
        elif given.anchor_BTK is None:
            raise ValueError(f"{term.metric} needs its log-probabilities as an anchor")
        else:
            views_BT.append(given.anchor_BTK[..., k])
    return views_BT


def _distance(policy_BT: Tensor, view_BT: Tensor, term: ViewTerm, weights: Weights) -> Tensor:
    # A fixed view needs no detach: its log-probabilities come from a pass without gradient.
    held_BT = policy_BT.detach() if term.gradient == "view" else policy_BT
    return (kl(held_BT, view_BT, term.estimator) * weights.shares).sum()


def added(parts: list[Objective]) -> tuple[Tensor, dict[str, float]]:
    """Return the sums over `parts`: [pg, kl, clipped] as float64, and the metrics of the extras."""
    # float64, because hundreds of small parts are added and the sum is compared between engines.
    sums = torch.tensor([(p.pg, p.kl, p.clipped) for p in parts], dtype=torch.float64).sum(0)
    keys = {key for part in parts for key in part.measured}
    return sums, {key: sum(part.measured[key] for part in parts) for key in sorted(keys)}
