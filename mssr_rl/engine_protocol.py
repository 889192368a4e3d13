"""The engine protocol: the only side of the trainer that knows where weights live.

`local.py` keeps them in this process; `openrlhf/` spreads them over a cluster. The trainer sees
neither: it passes problems in and gets texts, log-probabilities and statistics back.

Shapes: P problems, G rollouts per problem, B = P * G rollouts (problem-major), T response tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol

from torch import Tensor

from mssr_rl.loss import PolicyLoss
from mssr_rl.objective import Extras, Given, Prepared, prepared
from mssr_rl.problem import Problem
from mssr_rl.seeds import derive


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How responses are drawn."""

    temperature: float = 1.0  # 0 is greedy
    top_p: float = 1.0
    max_response_tokens: int = 96
    scored: bool = True  # False: only texts are wanted, the engine may leave out what costs a pass


class Rollouts(NamedTuple):
    """B responses and what the policy that sampled them thought of every token.

    Of responses that nobody wanted scored, log-probabilities and entropies may be 0.
    """

    problems: tuple[Problem, ...]  # P
    group_size: int  # G
    responses: tuple[str, ...]  # B texts, special tokens removed
    token_BT: Tensor  # int64, right-padded
    mask_BT: Tensor  # float32, 1 on response tokens, the end token included
    logprob_BT: Tensor  # float32 [nat], at the sampling temperature
    entropy_BT: Tensor  # float32 [nat], over the full vocabulary
    truncated_B: Tensor  # bool: the length limit came before the end token
    prompt_tokens: int  # paid for: of problems dropped since then as well, image tokens included
    image_tokens: int
    sampler_logprob_BT: Tensor | None = None  # the same by the sampler, where it is another program


class UpdateStats(NamedTuple):
    """What one pass of optimiser updates over the batch did; means over its updates."""

    pg_loss: float
    kl_loss: float  # the aggregated KL to the reference, before its coefficient
    clip_fraction: float
    grad_norm: float  # before clipping
    updates: int
    trained_tokens: int
    measured: Mapping[str, float] = MappingProxyType({})  # by extras: keys of metrics.jsonl


@dataclass(frozen=True, kw_only=True)
class UpdatePlan:
    """One pass over the rollouts of a step.

    An engine that does not know `extras` must refuse plans whose extras are not `Extras()`: one
    that left them out would train another algorithm under this one's name.
    """

    loss: PolicyLoss
    samples_per_update: int  # sequences per optimiser update; the last update may have fewer
    seed: int  # shuffles whole groups into updates
    extras: Extras = Extras()
    anchor_BT: Tensor | None = None  # log-probabilities without pictures, if extras ask for them
    # bool: a rollout that is not counted is no part of the loss, as if it had not been drawn. Every
    # problem has one that is. None: all are.
    counted_B: Tensor | None = None

    def prepared(self, given: Given, row_B: Tensor, update: int) -> Prepared:
        """The rollouts `row_B` as one optimiser update, the `update`-th of the pass."""
        rows = given.at(row_B, given.mask_BT.shape[1])
        counted_B = None if self.counted_B is None else self.counted_B[row_B]
        return prepared(rows, self.loss, derive(self.seed, "mark", update), counted_B)

    def tokens(self, mask_BT: Tensor) -> int:
        """Response tokens that are trained on."""
        return int((mask_BT if self.counted_B is None else mask_BT[self.counted_B]).sum())


class Engine(Protocol):
    """Where the policy, its frozen reference and the optimiser live."""

    computes: str  # by what: a model family's implementation, in words for a run's first lines

    def expect(self, problems: Sequence[Problem]) -> None:
        """The training problems, in the order of the first epoch; said once, before any work.

        What an engine makes of it is its own business: what it kept must not show in its numbers.
        """
        ...

    def rollout(
        self, problems: Sequence[Problem], group_size: int, sampling: Sampling, seed: int
    ) -> Rollouts:
        """Sample `group_size` responses to each problem."""
        ...

    def reference_logprob(self, rollouts: Rollouts) -> Tensor:
        """float32 BT [nat]: the same tokens under the frozen initial policy."""
        ...

    def logprob(self, rollouts: Rollouts, problem_rows: Sequence[int]) -> Tensor:
        """float32 BT [nat] under the current policy, for the rollouts of some of the P problems."""
        ...

    def update(
        self, rollouts: Rollouts, advantage_BT: Tensor, reference_BT: Tensor, plan: UpdatePlan
    ) -> UpdateStats:
        """One pass of optimiser updates; `NonFinite` before the first that would spoil weights.

        An engine that only finds out afterwards gives the numbers back as they are.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write policy (an ordinary `save_pretrained` folder) and optimiser state."""
        ...

    def load(self, folder: Path) -> None:
        """Continue from what `save` wrote."""
        ...

    def close(self) -> None:
        """Let go of everything outside this process; the engine is of no use afterwards."""
        ...
