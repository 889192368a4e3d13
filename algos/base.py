"""What an algorithm is: an advantage chain, a loss, and how many rollouts of a problem it needs.

A new one is a factory under `@register("name")`; its keyword-only parameters are its options:

    @register("plain")
    def plain(*, loss: Loss = Loss()) -> Algorithm:
        return Algorithm(name="plain", advantage=to_tokens(), loss=loss)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mssr_rl.advantage import Transform
from mssr_rl.errors import UserError
from mssr_rl.loss import Loss
from mssr_rl.options import require
from mssr_rl.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """Everything the trainer needs to know; it never asks for the name."""

    name: str
    advantage: Transform  # from one reward per rollout to one advantage per token
    loss: Loss
    min_group_size: int = 1  # rollouts per problem below which the advantage is not defined
    default_group_size: int = 1
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
        require(self.min_group_size >= 1, "min_group_size", self.min_group_size, "at least 1")
        enough = self.default_group_size >= self.min_group_size
        says = f"at least min_group_size={self.min_group_size}"
        require(enough, "default_group_size", self.default_group_size, says)


algorithms: Registry[Algorithm] = Registry("algorithm", "mssr_rl.algorithms")
register = algorithms.register
