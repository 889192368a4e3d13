"""The engine protocol: the methods that the trainer calls to sample, score, train and save.

`engine.local` holds the weights in this process; `engine.openrlhf` distributes them over a cluster.
The trainer calls both in the same way. It passes problems, and gets texts, log-probabilities and
statistics.

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
    """The settings with which responses are sampled."""

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
    # float32: 0 on response tokens without loss, for example those of a tool's output; None: all
    # response tokens have loss.
    learns_BT: Tensor | None = None

    @property
    def loss_mask_BT(self) -> Tensor:  # noqa: N802  the shape is in the name
        """1 on the response tokens that are part of the loss, 0 elsewhere."""
        return self.mask_BT if self.learns_BT is None else self.mask_BT * self.learns_BT


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
    """The loss, batch size and seed of one pass of updates over the rollouts of a step.

    An engine that does not implement `extras` must raise an error if they are not `Extras()`. If it
    ignored them, it would train another algorithm under the same name.
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
        """Return the inputs and token weights of optimiser update number `update` of the pass.

        `row_B` is the indices of its rollouts.
        """
        rows = given.at(row_B, given.mask_BT.shape[1])
        counted_B = None if self.counted_B is None else self.counted_B[row_B]
        seed = derive(self.seed, "mark", update)
        return prepared(rows, self.loss, seed, counted_B, self.correction)

    def tokens(self, mask_BT: Tensor) -> int:
        """Return the number of response tokens that are trained on."""
        return int((mask_BT if self.counted_B is None else mask_BT[self.counted_B]).sum())


class Engine(Protocol):
    """An engine, which holds the policy, the reference model and the optimiser."""

    computes: str  # one phrase for a run's first lines: which implementation of the model computes

    def expect(self, problems: Sequence[Problem]) -> None:
        """Set the training problems, in the order of the first epoch.

        It is called once, before any other method. An engine may use the problems to cache results,
        but its numbers must not depend on the cache.
        """
        ...

    def rollout(
        self, problems: Sequence[Problem], group_size: int, sampling: Sampling, seed: int
    ) -> Rollouts:
        """Return `group_size` sampled responses to each problem; `seed` decides the draws."""
        ...

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Return the text of every token, special tokens included."""
        ...

    def reference_logprob(self, rollouts: Rollouts) -> Tensor:
        """Return log-probabilities under the reference model, float32 [nat], shape [B, T].

        The reference model is the frozen initial policy.
        """
        ...

    def logprob(self, rollouts: Rollouts, problem_rows: Sequence[int]) -> Tensor:
        """Return log-probabilities under the current policy, for the rollouts of some problems.

        They are float32 [nat], in the order of `problem_rows`, with T columns.
        """
        ...

    def update(
        self, rollouts: Rollouts, advantage_BT: Tensor, reference_BT: Tensor, plan: UpdatePlan
    ) -> UpdateStats:
        """Make one pass of optimiser updates and return its statistics.

        Raises NonFinite if a value is NaN or infinite, before the weights are changed. An engine
        that cannot check this before the update returns the values unchanged.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write the policy, in the `save_pretrained` layout, and the optimiser state."""
        ...

    def load(self, folder: Path) -> None:
        """Load the policy and the optimiser state that `save` wrote."""
        ...

    def close(self) -> None:
        """Release all resources of the engine, which cannot be used afterwards."""
        ...
