"""The training processes and the reference processes, as subclasses of OpenRLHF's actors.

OpenRLHF's own actors compute log-probabilities over the whole vocabulary and no entropy, and take
their loss from a replay buffer. These actors score and update like the local engine, with the same
forbidden tokens, loss and token weights. OpenRLHF still loads models, sets up DeepSpeed and process
groups, and sends weights to vLLM.

Shapes: B rows of one rank, T response tokens, N response tokens in all, V vocabulary.
"""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import ray
import torch
from openrlhf.trainer.ray.launcher import ReferenceModelActor
from openrlhf.trainer.ray.ppo_actor import PolicyModelActor
from openrlhf.utils.distributed_util import torch_dist_barrier_and_cuda_sync
from peft import PeftModel
from torch import Tensor

from mssr_rl.config import plugins
from mssr_rl.config.schema import Config
from mssr_rl.engine.openrlhf.rollout import Request, ResponseGroup, answers_of
from mssr_rl.engine.openrlhf.shards import RankRows, Shard, with_picture
from mssr_rl.engine_protocol import Sampling, UpdatePlan
from mssr_rl.loss import Weights
from mssr_rl.models import lora
from mssr_rl.models.family import ScoredResponses
from mssr_rl.models.load import family_of, wanted
from mssr_rl.models.vetting import local_folder, without_code
from mssr_rl.models.vocabulary import score_tokens
from mssr_rl.objective import Objective, Policy, added, objective

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine
    from transformers import PreTrainedModel

TOGETHER = 8  # micro-batches that are sampled at once; more fit, because sampling keeps no graph
TAG = "deepspeed"  # the folder of DeepSpeed's state in a checkpoint


class Done(NamedTuple):
    """The statistics of one update on one rank."""

    # Surrogate, KL, clipped share; the update's value is the sum over ranks.
    sums: tuple[float, ...]
    grad_norm: float  # of the whole update, equal on every rank
    measured: dict[str, float]  # by extras; summed over ranks


class _Scorer:
    """The base class of policy and reference, which scores rows of rollouts."""

    def _prepare(self, config: Config, model: "DeepSpeedEngine") -> None:
        plugins.prepare(config.plugins)
        self.config = config
        self.network = model  # a DeepSpeed engine around the transformer
        self.family = family_of(_whole_model(model.module), wanted(config, remember=False))

    @torch.no_grad()
    def score(self, rows: RankRows, size: int, mixed: bool = False) -> ScoredResponses:
        """Return the log-probability and entropy of every response token; 0 where the mask is 0.

        `size` is the number of rows in a pass. `mixed` is True if some ranks may have rows with
        pictures and others only rows without (see `with_picture`).
        """
        self.network.eval()
        self.mixed = mixed
        width = rows.token_BT.shape[1]
        parts = [self._score(part) for part in rows.split(size)]
        wide = [[torch.nn.functional.pad(x, (0, width - x.shape[1])) for x in p] for p in parts]
        return ScoredResponses(*(torch.cat(column).cpu() for column in zip(*wide, strict=True)))

    def _score(self, rows: RankRows) -> ScoredResponses:
        device, b = self.network.device, len(rows.problems)
        rows = with_picture(rows) if self.mixed else rows
        token_BT, mask_BT = rows.token_BT.to(device), rows.mask_BT.to(device)
        inputs = self.family.sequences(self.model_inside, rows.problems, (token_BT, mask_BT))
        # Prompts are padded on the left, so the last T + 1 logits belong to the response; the very
        # last one predicts a token that does not exist.
        logits_BTV = self.network(
            **inputs, logits_to_keep=token_BT.shape[1] + 1, use_cache=False
        ).logits[:, :-1]
        chosen = mask_BT.bool()
        scores = score_tokens(
            logits_BTV[chosen],
            token_BT[chosen],
            self.family.vocabulary,
            self.config.rollout.temperature,
        )
        # `[:b]` drops the row with a blank picture that `with_picture` may have added.
        empty_BT = torch.zeros(chosen.shape, device=device)
        return ScoredResponses(*(empty_BT.masked_scatter(chosen, of_N)[:b] for of_N in scores))

    @property
    def model_inside(self) -> "PreTrainedModel":
        """The transformers model, without the DeepSpeed and PEFT wrappers around it."""
        return _whole_model(self.network.module)


def _whole_model(module: "PreTrainedModel | PeftModel") -> "PreTrainedModel":
    return module.get_base_model() if isinstance(module, PeftModel) else module


class ReferenceProcesses(_Scorer, ReferenceModelActor.__ray_metadata__.modified_class):  # type: ignore[misc]
    """One rank of the reference model, the frozen initial policy."""

    def start(self, strategy: Any, config: Config) -> None:
        """Load the reference model."""
        with without_code():
            self.init_model_from_pretrained(strategy, str(local_folder(config.model.source)))
        self._prepare(config, self.model.model)


class Trainer(_Scorer, PolicyModelActor.__ray_metadata__.modified_class):  # type: ignore[misc]
    """One rank of the policy and its optimiser."""

    def start(self, strategy: Any, config: Config, rollout_engines: Sequence[Any]) -> None:
        """Load the policy, and connect to the rollout engines that receive its weights."""
        path = str(local_folder(config.model.source))
        with without_code():
            # OpenRLHF waits for rollout engines unless it gets `None`.
            self.init_model_from_pretrained(strategy, path, 1, list(rollout_engines) or None)
        self._prepare(config, self.actor.model)

    @torch.no_grad()
    def answer(self, requests: Sequence[Request], sampling: Sampling) -> list[ResponseGroup]:
        """Return a group of sampled responses to each problem.

        It is used if `rollout.sampler` is not vLLM.
        """
        self.network.eval()
        together = max(1, TOGETHER * self.config.train.micro_batch // requests[0].group_size)
        blocks = [requests[i : i + together] for i in range(0, len(requests), together)]
        return [group for block in blocks for group in self._answers(block, sampling)]

    def _answers(self, requests: Sequence[Request], sampling: Sampling) -> list[ResponseGroup]:
        model, device = self.model_inside, self.network.device
        block = self.family.block([request.problem for request in requests], device)
        shape = (requests[0].group_size, sampling.max_response_tokens)
        # One generator for each problem: its responses do not depend on the rank that samples them.
        draws = [torch.Generator().manual_seed(request.seed) for request in requests]
        uniform_BT = torch.cat([torch.rand(shape, generator=draw) for draw in draws]).to(device)
        reading = self.family.read(model, block)
        sampled = self.family.sample(model, reading, sampling, uniform_BT)
        answers = answers_of(sampled)
        groups = [answers[i : i + shape[0]] for i in range(0, len(answers), shape[0])]
        # Prompt tokens are counted for the whole block; its first group carries the sum.
        counts = [(block.prompt_tokens, block.image_tokens), *[(0, 0)] * (len(groups) - 1)]
        return [ResponseGroup(group, *count) for group, count in zip(groups, counts, strict=True)]

    def update(self, shards: Sequence[Shard], plan: UpdatePlan, mixed: bool = False) -> list[Done]:
        """Make one optimiser update for each shard, and return their statistics.

        `mixed` has the same meaning as in `score`.
        """
        self.mixed = mixed
        return [self._update(shard, plan) for shard in shards]

    def _update(self, shard: Shard, plan: UpdatePlan) -> Done:
        """Make one optimiser update from the sum of the gradients of all micro-batches and ranks.

        DeepSpeed computes the mean instead of the sum. So each part of the loss is multiplied by
        the number of passes on all ranks.
        """
        self.network.train()
        size = self.strategy.micro_train_batch_size
        passes = len(shard.rows.problems) // size * self.strategy.world_size
        parts = []
        views = [list(view.split(size)) for view in shard.views]
        for first, rows in enumerate(shard.rows.split(size)):
            here = torch.arange(first * size, (first + 1) * size)
            seen = [view[first] for view in views]
            part = self._objective((rows, *seen), shard, here, plan)
            self.network.backward(part.total * passes)
            self.network.step()  # DeepSpeed updates only after the last micro-batch
            parts.append(part._replace(total=part.total.detach()))
        sums, measured = added(parts)
        return Done(tuple(sums.tolist()), self.strategy.get_grad_norm(self.actor), measured)

    def _objective(
        self, seen: Sequence[RankRows], shard: Shard, here: Tensor, plan: UpdatePlan
    ) -> Objective:
        """Return the part of the loss that one micro-batch adds, with gradient.

        `seen` is the rows of the micro-batch, and the same rows under each live view. `here` is
        their positions in the shard.
        """
        scored, *views = (self._score(rows) for rows in seen)
        width = seen[0].token_BT.shape[1]
        device = scored.logprob_BT.device
        given = shard.given.at(here, width)
        there = {name: x for name, x in given._asdict().items() if x is not None}
        return objective(
            Policy(scored.logprob_BT, scored.entropy_BT, tuple(view.logprob_BT for view in views)),
            given._replace(**{name: x.to(device) for name, x in there.items()}),
            Weights(*(w[here, :width].to(device) for w in shard.weights)),
            plan.loss,
            plan.extras,
        )

    def broadcast_to_vllm(self) -> None:
        """Send the policy's weights to every rollout engine.

        With LoRA, its matrices are added to the weights first. OpenRLHF's own method does not do
        that.
        """
        in_parts = self.strategy.stage == 3 or self.strategy.args.ds.tensor_parallel_size > 1
        if in_parts or self.trainer.use_cuda_ipc:
            self._send_each()
        else:
            self._send_all()

    def _weights(self) -> dict[str, Tensor]:
        module = self.network.module
        if self.config.cluster.lora_rank:
            return lora.whole(module.get_base_model())
        return {name: w for name, w in module.named_parameters() if w.requires_grad}

    def _send_all(self) -> None:
        """Send all weights by broadcast, after one call that announces names, dtypes and shapes.

        OpenRLHF 0.11.2 announces each weight by its own call and waits for the answer, which is
        slower (docs/speed.md).
        """
        if self.strategy.is_rank_0():
            weights = self._weights()
            announced = [(name, weight.dtype, weight.shape) for name, weight in weights.items()]
            calls = [
                engine.receive_weights.remote(announced) for engine in self.trainer.vllm_engines
            ]
            stream = torch.cuda.current_stream()
            for weight in weights.values():
                # Raises if an engine failed.
                ray.get(ray.wait(calls, num_returns=len(calls), timeout=0)[0])
                self.trainer._model_update_group.broadcast(weight.data, src=0, stream=stream)  # noqa: SLF001
            ray.get(calls)
        torch_dist_barrier_and_cuda_sync()

    def _send_each(self) -> None:
        """Send all weights by OpenRLHF's own method, with one call for each weight.

        It is used if a weight is split over ranks, or sent to a process on the same GPU.
        """
        # OpenRLHF reads the parameters from `trainer.actor`, so with LoRA a stand-in holds the
        # merged weights until the call ends.
        trained = self.trainer.actor
        if self.config.cluster.lora_rank:
            whole = SimpleNamespace(named_parameters=self._weights().items)
            self.trainer.actor = SimpleNamespace(model=SimpleNamespace(module=whole))
        try:
            super().broadcast_to_vllm()
        finally:
            self.trainer.actor = trained

    # ---- state -----------------------------------------------------------------------------

    def save(self, folder: str) -> None:
        """Write the policy in the `save_pretrained` layout, and DeepSpeed's state, to a folder."""
        # Not `strategy.save_model`: OpenRLHF 0.11.2 saves a vision-language model without its
        # processor, and tied weights twice.
        split = self.strategy.stage == 3
        # Every rank makes this call, because each holds a part of the weights; only rank 0 writes.
        whole = self.network._consolidated_16bit_state_dict() if split else None  # noqa: SLF001
        if self.strategy.is_rank_0():
            policy, module = Path(folder) / "policy", self.network.module
            if self.config.cluster.lora_rank:
                module = module.get_base_model()
                whole = lora.whole(module)
            module.save_pretrained(policy, state_dict=whole)
            self.family.save_words(policy)
        # DeepSpeed's file `latest` is not needed: `restore` names the tag.
        self.network.save_checkpoint(folder, tag=TAG, save_latest=False)

    def restore(self, folder: str) -> None:
        """Load DeepSpeed's state, including the weights, that `save` wrote."""
        self.network.load_checkpoint(folder, tag=TAG)


PolicyActor = ray.remote(num_gpus=1)(Trainer)
ReferenceActor = ray.remote(num_gpus=1)(ReferenceProcesses)
