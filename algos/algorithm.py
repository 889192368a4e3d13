"""What an algorithm is: an advantage chain, a loss, and what it asks of the trainer.

A new one is a factory under `@register("name")`; its keyword-only parameters are its options:

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
from mssr_rl.registry import Registry


class Resampling(NamedTuple):
    """Groups that are not worth training on are dropped, and others generated in their place."""

    keeps: Callable[[Tensor], Tensor]  # rewards [P, G] -> bool [P]
    max_batches: int  # generation batches of a step, the first included


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """Everything the trainer needs to know; it never asks for the name."""

    name: str
    advantage: Transform  # from one reward per rollout to one advantage per token
    loss: PolicyLoss
    min_group_size: int = 1  # rollouts per problem below which the advantage is not defined
    default_group_size: int = 1
    extras: Extras = Extras()  # terms beyond the loss itself
    resampling: Resampling | None = None
    problem_weights: Callable[[Any], Tensor] | None = None  # state -> chances [N]; None: in turn
    # What `compare ablate=all` leaves out: {its name: the options that do so}, or {"algo": the
    # algorithm that remains} where that one has a name of its own.
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
        if self.resampling is not None:
            tries = self.resampling.max_batches
            require(tries >= 1, "max_resample", tries, "at least 1")


algorithms: Registry[Algorithm] = Registry("algorithm", "mssr_rl.algorithms")
register = algorithms.register


def without_kl(loss: Loss) -> Loss:
    """The loss of an algorithm whose KL is a cost in the reward, where it is always k1.

    Raises:
        UserError: an estimator was chosen, which would have no effect.
    """
    says = f"left at {Loss.kl_estimator} where kl_in=reward, which has one form"
    require(loss.kl_estimator == Loss.kl_estimator, "kl_estimator", loss.kl_estimator, says)
    return replace(loss, kl_coef=0.0)
