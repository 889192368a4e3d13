"""What OpenRLHF's rollout workers load through their executor seam: how one problem is answered.

OpenRLHF's own executors ask vLLM once for every response, with one seed for all of them. This one
asks once for a whole group: a picture is encoded once, and every response has a seed of its own.
Grading stays with the trainer, which grades for every engine.
"""

import asyncio
from typing import Any

from openrlhf.utils.agent import AgentExecutorBase
from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind

from mssr_rl.engine.openrlhf.rollout import Answer, Request, ResponseGroup
from mssr_rl.engine_protocol import Sampling
from mssr_rl.models.family import Family

NEVER = -100.0  # added to a logit; the least that vLLM takes


class AgentExecutor(AgentExecutorBase):  # type: ignore[misc]
    """Answers problems with vLLM, in the words the other engines' models are shown."""

    def prepare(self, family: Family) -> None:
        """`family`: the model's, which lays problems out."""
        self.family = family

    async def execute(
        self,
        prompt: Request,
        label: object,
        sampling_params: Sampling,
        max_length: int,
        hf_tokenizer: object,
        llm_engine: Any,
        images: object = None,
    ) -> ResponseGroup:
        """The responses to one problem; the names are OpenRLHF's."""
        asked = await asyncio.to_thread(self.family.asked, prompt.problem)
        found = await llm_engine.generate(
            asked.tokens,
            self._parameters(prompt, sampling_params),
            multi_modal_data={"image": asked.pictures} if asked.pictures else None,
        )
        ordered = sorted(found.outputs, key=lambda output: output.index)
        answers = [self._answer(output) for output in ordered]
        return ResponseGroup(answers, asked.length, asked.image_tokens)

    def _parameters(self, request: Request, sampling: Sampling) -> SamplingParams:
        vocabulary = self.family.vocabulary
        return SamplingParams(
            n=request.group_size,
            seed=request.seed,
            temperature=sampling.temperature,
            top_p=sampling.top_p if sampling.temperature else 1.0,
            max_tokens=sampling.max_response_tokens,
            stop_token_ids=vocabulary.end.tolist(),
            logit_bias=dict.fromkeys(vocabulary.banned.tolist(), NEVER),
            logprobs=0,  # of the sampled token, no other
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _answer(self, output: Any) -> Answer:
        tokens = list(output.token_ids)
        found = [at[token].logprob for at, token in zip(output.logprobs, tokens, strict=True)]
        return Answer(tokens, found, output.finish_reason == "length")
