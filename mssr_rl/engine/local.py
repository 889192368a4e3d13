"""The local engine: policy, reference model and optimiser in this process, on a CPU or one GPU.

Each prompt with its picture is read once, and the rollouts of the problem share the result. In
float32, log-probabilities and entropies of rollouts come from the sampler; rescoring changes them
by about 1e-5. In bfloat16 the difference would be larger, so rollouts are scored again. AdamW then
changes a float32 copy of the bfloat16 weights (`master_weights`).

Shapes: P problems, G rollouts per problem, B = P * G (problem-major), T response tokens.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from mssr_rl.engine import blocks
from mssr_rl.engine.blocks import Tokens, even, problems_together
from mssr_rl.engine.cores import Workers
from mssr_rl.engine.master_weights import AdamWOptions, Gradient, MasterWeights
from mssr_rl.engine.reference import Reference
from mssr_rl.engine.regroup import rollouts_of
from mssr_rl.engine_protocol import Rollouts, Sampling, UpdatePlan, UpdateStats
from mssr_rl.loss import Weights
from mssr_rl.models.chunked_scores import MemoryUse
from mssr_rl.models.family import Block, Reading, ScoredResponses, ScoringBatches, score_by_parts
from mssr_rl.models.load import Wanted, family_of, load_model
from mssr_rl.models.sampled import Sampled, stacked, texts, widen
from mssr_rl.objective import Given, Objective, Policy, Prepared, added, objective
from mssr_rl.problem import Problem
from mssr_rl.stability.finite import blaming, check_finite

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from mssr_rl.models.lora import Adapters, LoraOptions

Read = Callable[[Sequence[Problem]], Reading]


@dataclass(frozen=True, kw_only=True)
class LocalOptions:
    """The options of the local engine."""

    model: str  # a folder, a hub id, or "tiny"
    device: str = "cpu"
    dtype: str = "float32"
    temperature: float = 1.0  # of training rollouts, and of all log-probabilities
    max_prompt_tokens: int = 1024
    min_pixels: int | None = None  # bounds of pictures; None: the model's own
    max_pixels: int | None = None
    micro_batch: int = 32  # rollouts in a pass (`engine.blocks`); it changes memory and speed only
    micro_tokens: int | None = None  # tokens in a pass that trains or scores; may split a group
    logit_tokens: int | None = None  # tokens whose logits exist at once (`chunked_scores`)
    checkpointing: bool = False  # activations of layers are computed again (`lean`)
    lora: "LoraOptions | None" = None  # train adapters in place of the weights
    freeze_vision: bool = False
    optimiser_offload: bool = False  # float32 weights, gradients and AdamW's state in main memory
    reference_offload: bool = False  # the reference in main memory while it is not used
    threads: int = 1  # passes that run at the same time, on CPU
    lr: float = 1e-6
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float = 1.0


# Micro-batches that are sampled together. More rollouts can be sampled than trained on at once,
# because sampling goes token by token and keeps no graph.
SAMPLED_TOGETHER = 8


class LocalEngine:
    """The engine in this process. `engine_protocol.Engine` describes its methods in full."""

    def __init__(self, options: LocalOptions) -> None:
        self.options = options
        self.policy = load_model(options.model, options.device, options.dtype)
        wanted = Wanted(
            options.model, options.min_pixels, options.max_pixels, options.max_prompt_tokens
        )
        self.family = family_of(self.policy, wanted)
        self.family.prepare(self.policy, MemoryUse(options.logit_tokens, options.checkpointing))
        self.adapters = self._prepare_training()
        # The copy is taken before any checkpoint is loaded, so a resumed run keeps the initial
        # policy.
        frozen = self.policy if self.adapters else copy.deepcopy(self.policy).requires_grad_(False)
        if options.reference_offload:
            frozen.to("cpu")
        self.reference = Reference(frozen, self.family, options.device, self._block)
        adamw = AdamWOptions(options.lr, options.betas, options.weight_decay, options.max_grad_norm)
        self.weights = MasterWeights(self.policy, adamw, offload=options.optimiser_offload)
        self.computes = "; ".join((self.family.said, *self._trained()))
        self._workers = Workers(options.threads, options.device)

    def _prepare_training(self) -> "Adapters | None":
        """Freeze what is not trained, and return the adapters that are added to the policy."""
        options = self.options
        if options.lora is None and not options.freeze_vision:
            return None
        from mssr_rl.models import lora

        if options.freeze_vision:
            lora.freeze_vision(self.policy)
        return lora.Adapters(self.policy, options.lora) if options.lora else None

    def _trained(self) -> Iterator[str]:
        """Return phrases about what AdamW changes, for a run's first lines."""
        if self.adapters:
            count = sum(p.numel() for p in self.weights.parameters)
            layers = len(self.adapters.layers)
            yield f"LoRA trains {count / 1e6:,.2f} M parameters of {layers} linear layers"
        if self.options.dtype != "float32":
            yield f"{self.options.dtype} weights, AdamW changes a float32 copy"

    def expect(self, problems: Sequence[Problem]) -> None:
        """Set the problems that the reference model will read, in the order of the first epoch."""
        self.reference.expect(problems)

    # ---- no gradient -----------------------------------------------------------------------

    def rollout(
        self, problems: Sequence[Problem], group_size: int, sampling: Sampling, seed: int
    ) -> Rollouts:
        """Return `group_size` sampled responses to each problem; `seed` decides the draws."""
        generator = torch.Generator().manual_seed(seed)
        shape = (len(problems) * group_size, sampling.max_response_tokens)
        # All numbers are drawn at once and on the CPU, so blocks and device do not change which
        # token gets which number.
        uniform_BT = torch.rand(shape, generator=generator).to(self.options.device)

        def one_block(rows: Tensor) -> _Answered:
            block = self._block([problems[row] for row in rows.tolist()])
            numbers = uniform_BT[rollouts_of(rows, group_size)]
            sampled = self._sample(block, len(rows), sampling, numbers)
            return _Answered(sampled, block.prompt_tokens, block.image_tokens)

        size = self._sampled_together(len(problems), group_size)
        answered = list(self._workers.each(one_block, torch.arange(len(problems)).split(size)))
        sampled = stacked([block.sampled for block in answered])
        decoded = texts(self.family.tokenizer, sampled)
        return Rollouts(
            problems=tuple(problems),
            group_size=group_size,
            responses=tuple(f"{self.family.opening}{text}" for text in decoded),
            token_BT=sampled.token_BT,
            mask_BT=sampled.mask_BT,
            logprob_BT=sampled.logprob_BT,
            entropy_BT=sampled.entropy_BT,
            truncated_B=sampled.truncated_B,
            prompt_tokens=sum(block.prompt_tokens for block in answered),
            image_tokens=sum(block.image_tokens for block in answered),
        )

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Return the text of every token, special tokens included."""
        tokenizer = self.family.tokenizer
        return [str(tokenizer.decode([token])) for token in tokens]

    def reference_logprob(self, rollouts: Rollouts) -> Tensor:
        """Return log-probabilities under the reference model, float32 [nat], shape [B, T]."""
        problems, reference = rollouts.problems, self.reference
        with self._reference_ready():
            list(self._workers.each(reference.keep, reference.missing(problems)))
            return self._logprob(reference.model, reference.read, rollouts, range(len(problems)))

    @contextmanager
    def _reference_ready(self) -> Iterator[None]:
        """Turn the adapters off, or move the reference model to the device, in a `with` block."""
        with ExitStack() as stack:
            if self.adapters:
                stack.enter_context(self.adapters.off())
            if self.options.reference_offload:
                self.reference.model.to(self.options.device)
                stack.callback(self.reference.model.to, "cpu")
            yield

    def logprob(self, rollouts: Rollouts, problem_rows: Sequence[int]) -> Tensor:
        """Return log-probabilities under the current policy for the rollouts of some problems.

        They are float32 [nat], in the order of `problem_rows`, with T columns.
        """
        return self._logprob(self.policy, self._read, rollouts, problem_rows)

    @torch.no_grad()
    def _sample(
        self, block: Block, prompts: int, sampling: Sampling, uniform_BT: Tensor
    ) -> Sampled:
        reading = self.family.read(self.policy, block)
        sampled = self.family.sample(self.policy, reading, sampling, uniform_BT)
        precise = self.options.dtype == "float32" or sampling.temperature == 0
        if precise or not sampling.scored:
            return sampled
        response = (sampled.token_BT, sampled.mask_BT)
        size = max(1, self.options.micro_batch * prompts // len(uniform_BT))
        parts = ScoringBatches(prompts, size, sampling.temperature)
        again = score_by_parts(self.family, self.policy, reading, response, parts)
        return sampled._replace(logprob_BT=again.logprob_BT, entropy_BT=again.entropy_BT)

    def _logprob(
        self, model: "PreTrainedModel", read: Read, rollouts: Rollouts, problem_rows: Sequence[int]
    ) -> Tensor:
        @torch.no_grad()
        def one_block(block: blocks.MicroBatch) -> Tensor:
            scored = self._score(model, read, rollouts, block)
            return widen(scored.logprob_BT, rollouts.token_BT.shape[1])

        micro_batches = self._micro_batches(rollouts, torch.as_tensor(list(problem_rows)))
        return torch.cat(list(self._workers.each(one_block, micro_batches)))

    # ---- with gradient ---------------------------------------------------------------------

    def update(
        self, rollouts: Rollouts, advantage_BT: Tensor, reference_BT: Tensor, plan: UpdatePlan
    ) -> UpdateStats:
        """Make one pass of optimiser updates over the rollouts, and return their statistics.

        Problems are shuffled; the rollouts of a problem stay in one update.
        """
        generator = torch.Generator().manual_seed(plan.seed)
        order = torch.randperm(len(rollouts.problems), generator=generator)
        given = Given(
            rollouts.loss_mask_BT,
            rollouts.logprob_BT,
            advantage_BT,
            reference_BT,
            plan.anchor_BTK,
            rollouts.sampler_logprob_BT,
        )
        updates: list[_Update] = []
        for rows in order.split(plan.samples_per_update // rollouts.group_size):
            with blaming(rows.tolist(), len(updates)):
                whole = plan.prepared(given, rollouts_of(rows, rollouts.group_size), len(updates))
                updates.append(self._one_update(rollouts, whole, rows, plan))
        mean = torch.stack([update.sums for update in updates]).mean(0).tolist()
        return UpdateStats(
            pg_loss=mean[0],
            kl_loss=mean[1],
            clip_fraction=mean[2],
            grad_norm=sum(update.grad_norm for update in updates) / len(updates),
            updates=len(updates),
            trained_tokens=plan.tokens(rollouts.loss_mask_BT),
            measured={
                k: sum(u.measured[k] for u in updates) / len(updates) for k in updates[0].measured
            },
        )

    def _one_update(
        self, rollouts: Rollouts, whole: Prepared, rows: Tensor, plan: UpdatePlan
    ) -> "_Update":
        """Make one optimiser update from the sum of the gradients of all micro-batches.

        The token weights are those of the whole update, so the result does not depend on how it is
        split into micro-batches.
        """
        micro_batches = self._micro_batches(rollouts, rows)
        sizes = [len(micro.rollouts) for micro in micro_batches]
        here = torch.arange(len(whole.given.mask_BT)).split(sizes)

        self.weights.clear()

        def one_block(block: tuple[blocks.MicroBatch, Tensor]) -> tuple[Objective, Gradient]:
            part = self._objective(rollouts, whole, block, plan)
            # Not `backward`, which would add to `.grad` in the order in which the threads end.
            gradient: Gradient = torch.autograd.grad(
                part.total, self.weights.parameters, allow_unused=True
            )
            return part._replace(total=part.total.detach()), gradient

        parts = []
        placed = zip(micro_batches, here, strict=True)
        # The gradients come in the order of the blocks: the result of a sum of floats depends on
        # its order.
        for part, gradient in self._workers.each(one_block, placed):
            self.weights.accumulate(gradient)
            parts.append(part)
        norm = self.weights.step()
        sums, measured = added(parts)
        return _Update(sums, norm, measured)

    def _objective(
        self,
        rollouts: Rollouts,
        whole: Prepared,
        block: tuple[blocks.MicroBatch, Tensor],
        plan: UpdatePlan,
    ) -> Objective:
        """Return the part of the loss that one micro-batch adds, with gradient.

        `block` is the micro-batch, and the positions of its rollouts in the update.
        """
        micro, here = block
        scored = self._score(self.policy, self._read, rollouts, micro)
        width = scored.logprob_BT.shape[1]
        views = [
            self._score(self.policy, self._read, rollouts._replace(problems=shown), micro)
            for shown in plan.view_problems
        ]
        part = objective(
            Policy(scored.logprob_BT, scored.entropy_BT, tuple(view.logprob_BT for view in views)),
            whole.given.at(here, width),
            Weights(*(w[here, :width] for w in whole.weights)),
            plan.loss,
            plan.extras,
        )
        check_finite({"the new log-probability": scored.logprob_BT, "the loss": part.total})
        return part

    def _score(
        self, model: "PreTrainedModel", read: Read, rollouts: Rollouts, block: blocks.MicroBatch
    ) -> ScoredResponses:
        """Return the log-probabilities and entropies of a block's rollouts, on the CPU.

        They have as many columns as the longest of these responses has tokens.
        """
        picked = block.rollouts
        mask_BT = rollouts.mask_BT[picked]
        width = max(1, int(mask_BT.sum(1).max()))
        reading = read([rollouts.problems[row] for row in block.problems.tolist()])
        device = self.options.device
        response = rollouts.token_BT[picked, :width].to(device), mask_BT[:, :width].to(device)
        scored = self.family.score(model, reading, response, self.options.temperature)
        # Rollouts, loss weights and losses are on the CPU.
        return ScoredResponses(*(x.cpu() for x in scored))

    def _micro_batches(self, rollouts: Rollouts, rows: Tensor) -> list[blocks.MicroBatch]:
        """Return the problems `rows`, in this order, split into micro-batches."""
        group_size, most = rollouts.group_size, self.options.micro_tokens
        if most is None:
            size = self._together(rollouts, rows)
            return [
                blocks.MicroBatch(part, rollouts_of(part, group_size)) for part in rows.split(size)
            ]
        prompts = [self.family.length(rollouts.problems[row]) for row in rows.tolist()]
        lengths_B = rollouts.mask_BT[rollouts_of(rows, group_size)].sum(1).int()
        groups: list[list[int]] = lengths_B.view(-1, group_size).tolist()
        chosen = blocks.by_tokens(prompts, groups, most)
        return [blocks.block_of(rows, group_size, block) for block in chosen]

    def _together(self, rollouts: Rollouts, rows: Tensor) -> int:
        """Return the number of problems in a micro-batch, for an even split of `rows`."""
        options, group_size = self.options, rollouts.group_size
        if options.device != "cpu":
            return max(1, options.micro_batch // group_size)
        prompts = sum(self.family.length(rollouts.problems[row]) for row in rows.tolist())
        responses = int(rollouts.mask_BT[rollouts_of(rows, group_size)].sum())
        tokens = Tokens(prompts, responses)
        return even(len(rows), problems_together(options.micro_batch, group_size, tokens))

    def _sampled_together(self, problems: int, group_size: int) -> int:
        """Return the number of problems in a block of sampling."""
        # Smaller blocks for the prompts were tried: no gain (docs/speed.md).
        most = max(1, SAMPLED_TOGETHER * self.options.micro_batch // group_size)
        return even(problems, most) if self.options.device == "cpu" else most

    def _read(self, problems: Sequence[Problem]) -> Reading:
        return self.family.read(self.policy, self._block(problems))

    def _block(self, problems: Sequence[Problem]) -> Block:
        return self.family.block(problems, self.options.device)

    # ---- state -----------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write `policy/`, in the `save_pretrained` layout, and the state of the optimiser.

        With LoRA, the weights of `policy/` have the adapters added, and `adapter/` holds these.
        """
        if self.adapters:
            from mssr_rl.models import lora

            self.family.save(self.policy, folder / "policy", lora.whole(self.policy))
            self.adapters.save(folder, dict(self.weights.named()))
        else:
            self.family.save(self.policy, folder / "policy")
        self.weights.save(folder)

    def load(self, folder: Path) -> None:
        """Load the policy and the optimiser state that `save` wrote.

        The reference model remains the initial policy.
        """
        if self.adapters:
            # Not `policy/`: taken out of a sum again, the adapters would be rounded.
            self.adapters.load(folder, dict(self.weights.named()))
        else:
            saved = load_model(str(folder / "policy"), self.options.device, self.options.dtype)
            self.policy.load_state_dict(saved.state_dict())
        self.weights.load(folder)

    def close(self) -> None:
        """End the worker threads. This engine uses no other processes."""
        self._workers.close()


class _Answered(NamedTuple):
    sampled: Sampled
    prompt_tokens: int
    image_tokens: int


class _Update(NamedTuple):
    sums: Tensor  # surrogate, KL, clipped share
    grad_norm: float
    measured: dict[str, float]
