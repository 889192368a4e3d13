"""The engine protocol: what the trainer needs from whatever holds the weights.

`engine.local` keeps the weights in this process; `engine.openrlhf` spreads them over a cluster. The
trainer sees no difference: it passes problems in and gets texts, log-probabilities and statistics
back.

Shapes: P problems, G rollouts per problem, B = P * G rollouts (problem-major), T response tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol

from torch import Tensor

from mssr_rl.correction import Correction
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
    scored: bool = True  # False: only texts are needed; the engine may skip the scoring pass


class Rollouts(NamedTuple):
    """B responses, with the log-probability and the entropy of every token at sampling time.

    If `Sampling.scored` was False, log-probabilities and entropies may be 0.
    """

    problems: tuple[Problem, ...]  # P
    group_size: int  # G
    responses: tuple[str, ...]  # B texts, special tokens removed
    token_BT: Tensor  # int64, right-padded
    mask_BT: Tensor  # float32, 1 on response tokens, the end token included
    logprob_BT: Tensor  # float32 [nat], at the sampling temperature
    entropy_BT: Tensor  # float32 [nat], over the full vocabulary
    truncated_B: Tensor  # bool: cut at the length limit, before any end token
    prompt_tokens: int  # all that were read, with image tokens and with problems that were dropped
    image_tokens: int
    sampler_logprob_BT: Tensor | None = None  # by the sampler, if it is another program


class UpdateStats(NamedTuple):
    """Statistics of one pass of optimiser updates over the batch, as means over its updates."""

    pg_loss: float
    kl_loss: float  # the aggregated KL to the reference, before its coefficient
    clip_fraction: float
    grad_norm: float  # before clipping
    updates: int
    trained_tokens: int
    # More metrics, by extras: keys of metrics.jsonl.
    measured: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class UpdatePlan:
    """How one pass over the rollouts of a step is made.

    An engine that does not implement `extras` must refuse every plan whose extras are not
    `Extras()`. If it ignored them, it would train another algorithm under the same name.
    """

    loss: PolicyLoss
    samples_per_update: int  # sequences per optimiser update; the last update may have fewer
    seed: int  # for the shuffle of whole groups into updates
    extras: Extras = Extras()
    correction: Correction = Correction()  # where the sampler's probabilities are not the trainer's
    anchor_BTK: Tensor | None = None  # log-probabilities under the K views of extras
    # For every live view, the problems of the rollouts as it shows them.
    view_problems: tuple[tuple[Problem, ...], ...] = ()
    # bool. A rollout that is False here has no part in the loss, as if it had not been drawn. Every
    # problem has at least one that is True. None: all are True.
    counted_B: Tensor | None = None

    def prepared(self, given: Given, row_B: Tensor, update: int) -> Prepared:
        """Return the rollouts `row_B` as one optimiser update, number `update` of the pass."""
        rows = given.at(row_B, given.mask_BT.shape[1])
        counted_B = None if self.counted_B is None else self.counted_B[row_B]
        seed = derive(self.seed, "mark", update)
        return prepared(rows, self.loss, seed, counted_B, self.correction)

    def tokens(self, mask_BT: Tensor) -> int:
        """Return the number of response tokens that are trained on."""
        return int((mask_BT if self.counted_B is None else mask_BT[self.counted_B]).sum())


class Engine(Protocol):
    """The policy, its frozen reference and its optimiser, wherever they are."""

    computes: str  # one phrase for a run's first lines: which implementation of the model computes

    def expect(self, problems: Sequence[Problem]) -> None:
        """Announce the training problems, in the order of the first epoch.

        Called once, before any work.

        An engine may use them to cache work, but its numbers must not depend on what it cached.
        """
        ...

    def rollout(
        self, problems: Sequence[Problem], group_size: int, sampling: Sampling, seed: int
    ) -> Rollouts:
        """Sample `group_size` responses to each problem."""
        ...

    def reference_logprob(self, rollouts: Rollouts) -> Tensor:
        """Return log-probabilities under the frozen initial policy, float32 BT [nat]."""
        ...

    def logprob(self, rollouts: Rollouts, problem_rows: Sequence[int]) -> Tensor:
        """Return log-probabilities under the current policy, for the rollouts of some problems.

        Float32 BT [nat], with the rollouts of `problem_rows` in that order.
        """
        ...

    def update(
        self, rollouts: Rollouts, advantage_BT: Tensor, reference_BT: Tensor, plan: UpdatePlan
    ) -> UpdateStats:
        """Make one pass of optimiser updates and return its statistics.

        Raises NonFinite before an update with NaN or infinity would change the weights. An engine
        that learns of them only afterwards returns the numbers as they are.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write the policy (a folder in the `save_pretrained` layout) and the optimiser state."""
        ...

    def load(self, folder: Path) -> None:
        """Continue from what `save` wrote."""
        ...

    def close(self) -> None:
        """Release everything outside this process. The engine cannot be used afterwards."""
        ...
