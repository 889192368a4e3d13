"""The OpenRLHF executor with which a rollout worker samples the responses to one problem.

OpenRLHF loads this file through its executor interface. OpenRLHF's own executors call vLLM once for
every response, with one seed for all of them. This executor calls vLLM once for a whole group. So a
picture is encoded once, and every response has its own seed. The trainer grades the responses, as
for all engines.
"""

import asyncio
from typing import Any

from openrlhf.utils.agent import AgentExecutorBase
from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind

from mssr_rl.engine.openrlhf.rollout import Answer, Request, ResponseGroup
from mssr_rl.engine_protocol import Sampling
from mssr_rl.models.family import Family

NEVER = -100.0  # added to the logit of a forbidden token; vLLM accepts no lower value


class AgentExecutor(AgentExecutorBase):  # type: ignore[misc]
    """An executor that samples responses with vLLM, with the same prompts as other engines."""

    def prepare(self, family: Family) -> None:
        """Set the model family, which turns problems into prompts."""
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
        """Return the group of responses to one problem.

        OpenRLHF defines the names of the parameters. `prompt`, `sampling_params` and `llm_engine`
        are used.
        """
        inputs = await asyncio.to_thread(self.family.asked, prompt.problem)
        generated = await llm_engine.generate(
            inputs.tokens,
            self._parameters(prompt, sampling_params),
            multi_modal_data={"image": inputs.pictures} if inputs.pictures else None,
        )
        ordered = sorted(generated.outputs, key=lambda output: output.index)
        answers = [self._answer(output) for output in ordered]
        return ResponseGroup(answers, inputs.length, inputs.image_tokens)

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
            logprobs=0,  # of the sampled token only
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _answer(self, output: Any) -> Answer:
        tokens = list(output.token_ids)
        logprobs = [at[token].logprob for at, token in zip(output.logprobs, tokens, strict=True)]
        return Answer(tokens, logprobs, output.finish_reason == "length")
