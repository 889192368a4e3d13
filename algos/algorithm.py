"""The definition of an algorithm: an advantage chain, a loss, and its requirements on the trainer.

A new algorithm is a factory under `@register("name")`. Its keyword-only parameters are its options:

    @register("plain")
    def plain(*, loss: Loss = Loss()) -> Algorithm:
        return Algorithm(name="plain", advantage=to_tokens(), loss=loss)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from torch import Tensor

from mssr_rl.advantage import Transform
from mssr_rl.errors import UserError
from mssr_rl.loss import Loss, PolicyLoss, losses
from mssr_rl.objective import Extras
from mssr_rl.options import require
from mssr_rl.problem import Problem
from mssr_rl.registry import Registry


class Resampling(NamedTuple):
    """Which groups are dropped as not worth training on; other groups are generated instead."""

    keeps: Callable[[Tensor], Tensor]  # rewards [P, G] -> bool [P]
    max_batches: int  # most generation batches in one step, counting the first


class Distortion(NamedTuple):
    """Some rollouts of every problem are sampled with changed pictures, and trained on without."""

    # (problem, seed, share of the run that is done, 0 to 1) -> the problem as it is shown. It must
    # be a module's function, or a partial of one, and draw random numbers from the seed only.
    change: Callable[[Problem, int, float], Problem]
    says: str  # a short description of the change: "with noisy pictures"
    share: float  # of a problem's rollouts that see the change, above 0 and below 1

    def rollouts(self, group_size: int) -> int:
        """Return how many of a problem's rollouts see the change: at least 1, and not all."""
        return min(max(round(self.share * group_size), 1), group_size - 1)


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """All properties of an algorithm that the trainer uses. It never decides by the name."""

    name: str
    advantage: Transform  # one reward per rollout in, one advantage per token out
    loss: PolicyLoss
    min_group_size: int = 1  # with fewer rollouts per problem the advantage is not defined
    default_group_size: int = 1
    extras: Extras = Extras()  # terms that are added to the loss
    resampling: Resampling | None = None
    distortion: Distortion | None = None
    # One more response to every problem of a step, greedy and not trained on: `Batch.greedy_B`.
    greedy_baseline: bool = False
    problem_weights: Callable[[Any], Tensor] | None = None  # state -> weights [N]; None: in turn
    # The parts that `compare ablate=all` removes, one at a time: {name: the options that remove
    # it}. The options are {"algo": name} where the algorithm without the part is registered.
    ablations: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seams = (self.advantage.takes, self.advantage.gives)
        if seams != ("rollout", "token"):
            raise UserError(
                f"algorithm {self.name!r}: its advantage goes from one value per {seams[0]} to one "
                f"per {seams[1]}; it must start from rollouts and end with tokens (to_tokens())"
            )
        if losses.name_of(type(self.loss)) is None:
            raise UserError(
                f"algorithm {self.name!r}: its loss {type(self.loss).__name__} has no name; put "
                '@register_loss("name") above the class'
            )
        require(self.min_group_size >= 1, "min_group_size", self.min_group_size, "at least 1")
        enough = self.default_group_size >= self.min_group_size
        says = f"at least min_group_size={self.min_group_size}"
        require(enough, "default_group_size", self.default_group_size, says)
        if self.distortion is not None:
            share = self.distortion.share
            require(0 < share < 1, "distorted", share, "above 0 and below 1")
            paired = self.min_group_size >= 2
            says = "at least 2, for a rollout with the picture and one with the changed picture"
            require(paired, "min_group_size", self.min_group_size, says)
        if self.resampling is not None:
            tries = self.resampling.max_batches
            require(tries >= 1, "max_resample", tries, "at least 1")

    def greedy_rollouts(self, problems: int) -> int:
        """Return how many rollouts a step of `problems` problems samples beyond its own."""
        return problems if self.greedy_baseline else 0


algorithms: Registry[Algorithm] = Registry("algorithm", "mssr_rl.algorithms")
register = algorithms.register


def without_kl(loss: Loss) -> Loss:
    """Return the loss without its KL term, for an algorithm that subtracts the KL from the reward.

    Such an algorithm always estimates the KL with k1.

    Raises:
        UserError: kl_estimator was set, which would have no effect.
    """
    says = f"left at {Loss.kl_estimator} where kl_in=reward, which has one form"
    require(loss.kl_estimator == Loss.kl_estimator, "kl_estimator", loss.kl_estimator, says)
    return replace(loss, kl_coef=0.0)
