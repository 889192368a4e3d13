"""vLLM's side of `benchmarks.rollouts`: its offline engine on CPU, in this process.

It gets prompts as tokens and decoded pictures, as the rollout workers of engine=openrlhf pass them.
It returns no log-probabilities. Compiling is off, because it needs a C++ compiler and minutes.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.peers import Channel, options
from benchmarks.workloads import posed
from mssr_rl import engine
from mssr_rl.models import model_folder
from mssr_rl.models.encode import PromptEncoder
from mssr_rl.models.load import load_processor
from mssr_rl.problem import Problem

STARTUP = Path(engine.__file__).parent / "openrlhf" / "startup"  # vLLM's own children need it too
NEVER = -100.0  # added to the logit of a forbidden token; vLLM accepts no lower value
SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
    "TORCHDYNAMO_DISABLE": "1",
}


def main(told: dict[str, Any]) -> None:
    """Sample one batch of rollouts at each turn.

    `told` holds `threads`, `problems` per turn, `group` rollouts of each, and `limit` in tokens.
    """
    channel = Channel()
    os.environ.update({**SETTINGS, "OMP_NUM_THREADS": str(told["threads"])})
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(STARTUP), *before)))
    vllm, encoder = _engine(told), PromptEncoder(load_processor("tiny"), 1024)
    sampling = _sampling(told)
    channel.ready()
    turn = 0
    while channel.wait():
        asked = _prompts(encoder, posed(turn, told["problems"]))
        found = [one for request in _answered(vllm, asked, sampling) for one in request.outputs]
        channel.tell(samples=len(found), tokens=sum(len(one.token_ids) for one in found))
        turn += 1


def _engine(told: dict[str, Any]) -> Any:
    from vllm import LLM  # after its settings

    return LLM(
        model_folder("tiny"),
        dtype="float32",
        enforce_eager=True,
        max_model_len=1024 + told["limit"],
        max_num_seqs=told["problems"] * told["group"],
        limit_mm_per_prompt={"image": 1, "video": 0},
    )


def _sampling(told: dict[str, Any]) -> Any:
    from transformers import AutoConfig, GenerationConfig
    from vllm import SamplingParams

    from mssr_rl.models.vocabulary import Vocabulary

    folder = model_folder("tiny")
    vocabulary = Vocabulary.read(
        AutoConfig.from_pretrained(folder), GenerationConfig.from_pretrained(folder), "cpu"
    )
    return SamplingParams(
        n=told["group"],
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        max_tokens=told["limit"],
        stop_token_ids=vocabulary.end.tolist(),
        logit_bias=dict.fromkeys(vocabulary.banned.tolist(), NEVER),
    )


def _prompts(encoder: PromptEncoder, problems: Sequence[Problem]) -> list[dict[str, Any]]:
    return [
        {
            "prompt_token_ids": encoder.text_tokens(problem),
            "multi_modal_data": {
                "image": [
                    Image.fromarray(encoder.pixels(data).transpose(1, 2, 0))
                    for data in problem.images
                ]
            },
        }
        for problem in problems
    ]


def _answered(vllm: Any, asked: Sequence[dict[str, Any]], sampling: Any) -> Any:
    return vllm.generate(asked, sampling, use_tqdm=False)


if __name__ == "__main__":
    main(options())
