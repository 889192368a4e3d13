"""The openrlhf engine: an engine whose sampling processes and training ranks run on a cluster.

The policy's training ranks score the responses of vLLM again. So the log-probabilities and
entropies of rollouts come from the program that trains. The difference to vLLM's log-probabilities
is measured in every step.

Shapes: P problems, G rollouts per problem, B = P * G (problem-major), T response tokens.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import ray
import torch
from openrlhf.trainer.ray.launcher import RayActorGroup
from torch import Tensor

from mssr_rl.config.schema import Config
from mssr_rl.engine.openrlhf import rollout, session, shared_memory
from mssr_rl.engine.openrlhf.actors import Done, PolicyActor, ReferenceActor
from mssr_rl.engine.openrlhf.arguments import namespace
from mssr_rl.engine.openrlhf.dead_actors import Roll
from mssr_rl.engine.openrlhf.placement import SHARE, placement
from mssr_rl.engine.openrlhf.rollout import Request, ResponseGroup
from mssr_rl.engine.openrlhf.shards import (
    RankRows,
    equal_parts,
    only_some_have_pictures,
    rows_of,
    shards,
)
from mssr_rl.engine.openrlhf.strategy import strategy
from mssr_rl.engine.regroup import rollouts_of
from mssr_rl.engine_protocol import Rollouts, Sampling, UpdatePlan, UpdateStats
from mssr_rl.models import vetting
from mssr_rl.models.family import ScoredResponses
from mssr_rl.models.load import family_of_folder, wanted
from mssr_rl.objective import Given
from mssr_rl.problem import Problem
from mssr_rl.seeds import derive


class OpenRlhfEngine:
    """The engine on a cluster. `engine_protocol.Engine` describes its methods in full."""

    def __init__(self, config: Config) -> None:
        self.config = config
        # The model folder is checked first, before a process on any machine reads it.
        vetting.refuse_code(vetting.local_folder(config.model.source))
        self.family = family_of_folder(wanted(config))
        self.own_sampler = config.rollout.sampler == "transformers"
        who = "and samples too" if self.own_sampler else "and vLLM samples"
        self.computes = f"transformers' own {self.family.kind} trains under DeepSpeed, {who}"
        self.placed = placement(config)
        self.roll = Roll()
        self.ahead: _Reading | None = None  # the reference's scoring of the newest rollouts
        self.foresees = config.engine.device == "cpu"
        self.held: list[tuple[str, set[str]]] = []  # shared memory of rollout engines, by machine
        session.connect(config)
        self.bundles = session.reserve(self.placed)
        self._hire()

    def _hire(self) -> None:
        """Start all processes, which load the model in parallel, and wait until they are ready."""
        args = namespace(self.config)
        deep = strategy(args, self.config)
        shared = self.bundles if self.placed.colocate else None
        self.samplers = [] if self.own_sampler else rollout.start(self.config, shared)
        self.policy, self.reference = (self._group(kind) for kind in (PolicyActor, ReferenceActor))
        self.roll.enter(_named("vLLM engine", self.samplers), alarmed=True)
        self.roll.enter(_named("training rank", _actors(self.policy)))
        self.roll.enter(_named("reference rank", _actors(self.reference)))
        loading = [
            *self.reference.async_run_method("start", deep, self.config),
            *self.policy.async_run_method("start", deep, self.config, self.samplers),
        ]
        self.roll.gather(loading)
        # Asked now: a process that was killed cannot say it any more.
        self.held = self.roll.gather([one.shared_memory.remote() for one in self.samplers])

    def _group(self, kind: Any) -> RayActorGroup:
        nodes = self.config.cluster.nodes
        return RayActorGroup(
            nodes, self.placed.ranks_per_node, kind, pg=self.bundles, num_gpus_per_actor=SHARE
        )

    def expect(self, problems: Sequence[Problem]) -> None:
        """Do nothing, because each rank gets its problems with every call."""

    # ---- no gradient -----------------------------------------------------------------------

    def rollout(
        self, problems: Sequence[Problem], group_size: int, sampling: Sampling, seed: int
    ) -> Rollouts:
        """Return `group_size` sampled responses to each problem; `seed` decides the draws."""
        requests = [
            Request(problem, group_size, derive(seed, row) % 2**62)
            for row, problem in enumerate(problems)
        ]
        groups = self._answers(requests, sampling)
        answers = [answer for group in groups for answer in group.answers]
        tokenizer = self.family.tokenizer
        sampled = rollout.padded(answers, self.family.vocabulary.pad)
        repeated = tuple(problem for problem in problems for _ in range(group_size))
        rows = RankRows(repeated, sampled.token_BT, sampled.mask_BT)
        scored = self._scored(rows) if sampling.scored else _unscored(sampled.mask_BT)
        texts = tokenizer.batch_decode([a.tokens for a in answers], skip_special_tokens=True)
        return Rollouts(
            problems=tuple(problems),
            group_size=group_size,
            responses=tuple(f"{self.family.opening}{text}" for text in texts),
            token_BT=sampled.token_BT,
            mask_BT=sampled.mask_BT,
            logprob_BT=scored.logprob_BT,
            entropy_BT=scored.entropy_BT,
            truncated_B=torch.tensor([answer.truncated for answer in answers]),
            prompt_tokens=sum(group.prompt_tokens for group in groups),
            image_tokens=sum(group.image_tokens for group in groups),
            sampler_logprob_BT=sampled.logprob_BT,
        )

    def _answers(self, requests: Sequence[Request], sampling: Sampling) -> list[ResponseGroup]:
        """Return the responses in the order of the requests, sampled by all engines in parallel."""
        # Wake, sample, sleep: on shared GPUs the policy scores next and needs the memory that vLLM
        # held.
        self._samplers("wake_up")
        who = _actors(self.policy) if self.own_sampler else self.samplers
        calls = rollout.spread(who, requests, sampling)
        groups = [group for portion in self.roll.gather(calls) for group in portion]
        self._samplers("sleep")
        return groups

    def _scored(self, rows: RankRows) -> ScoredResponses:
        """Return the policy's scores of rows; on a CPU the reference scores them at the same time.

        The reference does not start early on GPUs. It shares them with the policy, and the
        activations of both would need memory at once. Nor does it start early any more once groups
        were dropped in a step, because it then had to score other rows.
        """
        self.foresees &= self.ahead is None
        begun = self._begin(self.reference, rows) if self.foresees else None
        scored = self._end(self._begin(self.policy, rows))
        self.ahead = begun
        return scored

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Return the text of every token, special tokens included."""
        tokenizer = self.family.tokenizer
        return [str(tokenizer.decode([token])) for token in tokens]

    def reference_logprob(self, rollouts: Rollouts) -> Tensor:
        """Return log-probabilities under the reference model, float32 [nat], shape [B, T]."""
        ahead, self.ahead = self.ahead, None
        if ahead is None or ahead.rows.token_BT is not rollouts.token_BT:
            self.foresees &= ahead is None
            ahead = self._begin(self.reference, rows_of(rollouts))
        return self._end(ahead).logprob_BT

    def logprob(self, rollouts: Rollouts, problem_rows: Sequence[int]) -> Tensor:
        """Return log-probabilities under the current policy for the rollouts of some problems.

        They are float32 [nat], in the order of `problem_rows`, with T columns.
        """
        picked = rollouts_of(torch.as_tensor(list(problem_rows)), rollouts.group_size)
        return self._end(self._begin(self.policy, rows_of(rollouts).pick(picked))).logprob_BT

    def _begin(self, group: RayActorGroup, rows: RankRows) -> "_Reading":
        """Start scoring rows on all ranks of a group, and return the calls.

        All ranks get the same number of rows, because their collective calls require it.
        """
        mixed = self._mixed(rows.problems)
        actors = _actors(group)
        parts = equal_parts(len(rows.problems), len(actors))
        size = self.config.train.micro_batch
        calls = [
            actor.score.remote(rows.pick(part), size, mixed)
            for actor, part in zip(actors, parts, strict=True)
        ]
        return _Reading(rows, calls)

    def _end(self, reading: "_Reading") -> ScoredResponses:
        parts, count = self.roll.gather(reading.calls), len(reading.rows.problems)
        return ScoredResponses(*(torch.cat(column)[:count] for column in zip(*parts, strict=True)))

    def _mixed(self, problems: Sequence[Problem]) -> bool:
        """Return whether some ranks may get rows with pictures, and others only rows without."""
        return self.placed.training_ranks > 1 and only_some_have_pictures(problems)

    # ---- with gradient ---------------------------------------------------------------------

    def update(
        self, rollouts: Rollouts, advantage_BT: Tensor, reference_BT: Tensor, plan: UpdatePlan
    ) -> UpdateStats:
        """Make one pass of updates over the rollouts, and return its statistics.

        Afterwards the new weights are sent to every rollout engine.
        """
        given = Given(
            rollouts.loss_mask_BT,
            rollouts.logprob_BT,
            advantage_BT.to(rollouts.logprob_BT.dtype),
            reference_BT,
            plan.anchor_BTK,
            rollouts.sampler_logprob_BT,
        )
        parts = shards(rollouts, given, plan, self.placed.training_ranks)
        # The shards have the rest.
        plan_of_ranks = replace(plan, anchor_BTK=None, counted_B=None, view_problems=())
        mixed = self._mixed(
            [p for shown in (rollouts.problems, *plan.view_problems) for p in shown]
        )
        self._trainers("reload_states")
        done_by_rank = self.roll.gather(
            [
                actor.update.remote(part, plan_of_ranks, mixed)
                for actor, part in zip(_actors(self.policy), parts, strict=True)
            ]
        )
        self._trainers("offload_states")
        self.sync()
        return _stats(done_by_rank, plan.tokens(rollouts.loss_mask_BT))

    def sync(self) -> None:
        """Send the policy's weights to every rollout engine."""
        if self.own_sampler:
            return  # the training ranks sample, with their own weights
        # Wake, transfer, sleep: only the weights wake up, because no key or value is needed to
        # receive them.
        self._samplers("wake_up", tags=["weights"])
        self.roll.gather(self.policy.async_run_method("broadcast_to_vllm"))
        self._samplers("sleep")

    # With shared GPUs and `cluster.sleep`, a process that is idle frees its GPU memory. This needs
    # a GPU, so no test here has run it.

    def _samplers(self, method: str, **named: Any) -> None:
        if self.config.cluster.sleep:
            self.roll.gather([getattr(one, method).remote(**named) for one in self.samplers])

    def _trainers(self, method: str) -> None:
        if self.config.cluster.sleep:
            self.roll.gather(self.policy.async_run_method(method))

    # ---- state -----------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the policy to `policy/` in the `save_pretrained` layout, and DeepSpeed's state.

        Every training rank writes to the folder. With several machines, it must be a shared folder.
        """
        self._trainers("reload_states")
        self.roll.gather(self.policy.async_run_method("save", str(folder.resolve())))
        self._trainers("offload_states")

    def load(self, folder: Path) -> None:
        """Load the policy and the optimiser state that `save` wrote.

        The reference model remains the initial policy.
        """
        self._trainers("reload_states")
        self.roll.gather(self.policy.async_run_method("restore", str(folder.resolve())))
        self._trainers("offload_states")
        self.sync()

    def close(self) -> None:
        """End all processes of this engine. Ray itself keeps running for the next run."""
        for actor in (*self.samplers, *_actors(self.policy), *_actors(self.reference)):
            ray.kill(actor)
        for machine, blocks in self.held:
            if machine == ray.util.get_node_ip_address():
                shared_memory.remove(blocks)
        ray.util.remove_placement_group(self.bundles)


class _Reading(NamedTuple):
    """Rows, and the calls that score them on the ranks of a group."""

    rows: RankRows
    calls: list[Any]  # one for each rank


def _unscored(mask_BT: Tensor) -> ScoredResponses:
    return ScoredResponses(torch.zeros_like(mask_BT), torch.zeros_like(mask_BT))


def _stats(done_by_rank: Sequence[Sequence[Done]], tokens: int) -> UpdateStats:
    """Return the statistics of a pass: sums over ranks, as means over its updates.

    `grad_norm` is not summed, because every rank has the norm of the whole update.
    """
    sums = torch.tensor([[done.sums for done in of_rank] for of_rank in done_by_rank])
    pg_loss, kl_loss, clipped = sums.double().sum(0).mean(0).tolist()
    updates = len(done_by_rank[0])
    every = [done for of_rank in done_by_rank for done in of_rank]
    keys = {key for done in every for key in done.measured}
    return UpdateStats(
        pg_loss=pg_loss,
        kl_loss=kl_loss,
        clip_fraction=clipped,
        grad_norm=sum(done.grad_norm for done in done_by_rank[0]) / updates,
        updates=updates,
        trained_tokens=tokens,
        measured={k: sum(done.measured.get(k, 0.0) for done in every) / updates for k in keys},
    )


def _actors(group: RayActorGroup) -> list[Any]:
    actors: list[Any] = group._actor_handlers  # noqa: SLF001  OpenRLHF has no public name for them
    return actors


def _named(what: str, actors: Iterable[Any]) -> Mapping[str, Any]:
    return {f"{what} {i}": actor for i, actor in enumerate(actors)}
