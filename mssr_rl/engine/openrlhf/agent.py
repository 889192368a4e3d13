"""What OpenRLHF's rollout workers load through their executor seam: how one problem is answered.

OpenRLHF's own executors ask vLLM once for every response, with one seed for all of them. This one
asks once for a whole group: a picture is encoded once, and every response has a seed of its own.
Grading stays with the trainer, which grades for every engine.
"""

import asyncio
from typing import Any, NamedTuple

from openrlhf.utils.agent import AgentExecutorBase
from PIL import Image
from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind

from mssr_rl.config.schema import Config
from mssr_rl.engine.base import Sampling
from mssr_rl.engine.openrlhf.rollout import Answer, Group, Request
from mssr_rl.models.encode import PromptEncoder
from mssr_rl.models.load import processor_of
from mssr_rl.problem import Problem

NEVER = -100.0  # added to a logit; the least that vLLM takes


class _Prompt(NamedTuple):
    tokens: list[int]  # one image token for each picture
    pictures: list[Image.Image]
    length: int  # in tokens, pictures spread out
    image_tokens: int


class AgentExecutor(AgentExecutorBase):  # type: ignore[misc]
    """Answers problems with vLLM, in the words the other engines' models are shown."""

    def prepare(self, config: Config, words: "dict[str, list[int]]") -> None:
        """`words`: token ids that are `banned`, and those that `end` a response."""
        processor = processor_of(config)
        self.encoder = PromptEncoder(processor, config.rollout.max_prompt_tokens, remember=False)
        self.words = words

    async def execute(
        self,
        prompt: Request,
        label: object,
        sampling_params: Sampling,
        max_length: int,
        hf_tokenizer: object,
        llm_engine: Any,
        images: object = None,
    ) -> Group:
        """The responses to one problem; the names are OpenRLHF's."""
        asked = await asyncio.to_thread(self._encode, prompt.problem)
        found = await llm_engine.generate(
            asked.tokens,
            self._parameters(prompt, sampling_params),
            multi_modal_data={"image": asked.pictures} if asked.pictures else None,
        )
        ordered = sorted(found.outputs, key=lambda output: output.index)
        answers = [self._answer(output) for output in ordered]
        return Group(answers, asked.length, asked.image_tokens)

    def _encode(self, problem: Problem) -> _Prompt:
        """VLLM is given pictures of their final size, so that nothing is scaled twice."""
        pixels = [self.encoder.pixels(data) for data in problem.images]
        spread = self.encoder.layout(problem, pixels).tokens  # refuses what is too long
        return _Prompt(
            tokens=self.encoder.text_tokens(problem),
            pictures=[Image.fromarray(p.transpose(1, 2, 0)) for p in pixels],
            length=len(spread),
            image_tokens=spread.count(self.encoder.image_token),
        )

    def _parameters(self, request: Request, sampling: Sampling) -> SamplingParams:
        return SamplingParams(
            n=request.group_size,
            seed=request.seed,
            temperature=sampling.temperature,
            top_p=sampling.top_p if sampling.temperature else 1.0,
            max_tokens=sampling.max_response_tokens,
            stop_token_ids=self.words["end"],
            logit_bias=dict.fromkeys(self.words["banned"], NEVER),
            logprobs=0,  # of the sampled token, no other
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _answer(self, output: Any) -> Answer:
        tokens = list(output.token_ids)
        found = [at[token].logprob for at, token in zip(output.logprobs, tokens, strict=True)]
        return Answer(tokens, found, output.finish_reason == "length")
