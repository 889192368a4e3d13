"""Test which twins vLLM can sample from on a CPU: the second table of docs/models.md.

    PYTHONPATH=.:mssr_rl/engine/openrlhf/startup python tests/models/sampled_by_vllm.py [NAME ...]

Each twin gets one vLLM in this process, which samples as in the cluster engine. Its
log-probabilities are compared with plain transformers. Then it gets changed weights one by one, as
the cluster engine sends them, and is compared with plain transformers that has these weights.
"""

import gc
import importlib.util
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Read when vllm is imported. In one process: weights can be handed over without a network.
os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "TORCHDYNAMO_DISABLE": "1",
    "DS_ACCELERATOR": "cpu",
}

import torch

from mssr_rl.engine.openrlhf import cpu

cpu.install()

from vllm import LLM, SamplingParams  # noqa: E402  after its hooks
from vllm.distributed.parallel_state import cleanup_dist_env_and_memory  # noqa: E402

from mssr_rl.models import plain  # noqa: E402
from mssr_rl.models.processor import prefer_pillow  # noqa: E402

HEAD = "| twin | vLLM samples | gap to plain transformers | with new weights |\n|---|---|---:|---:|"


def module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


trial = module("trial")


def gap(llm: Any, engine: Any, problems: Sequence[Any]) -> float:
    """The largest difference of a sampled token's log-probability [nat]."""
    family, worst = engine.family, 0.0
    told = SamplingParams(
        n=2,
        seed=1,
        max_tokens=10,
        stop_token_ids=family.vocabulary.end.tolist(),
        logit_bias=dict.fromkeys(family.vocabulary.banned.tolist(), -100.0),
        logprobs=0,
        detokenize=False,
    )
    for problem in problems:
        asked = family.asked(problem)
        prompt: dict[str, Any] = {"prompt_token_ids": asked.tokens}
        if asked.pictures:
            prompt["multi_modal_data"] = {"image": asked.pictures}
        (out,) = llm.generate([prompt], told, use_tqdm=False)
        assert len(out.prompt_token_ids) == asked.length
        for answer in out.outputs:
            tokens = list(answer.token_ids)
            theirs = [at[t].logprob for at, t in zip(answer.logprobs, tokens, strict=True)]
            ours = plain.logprob(engine.policy, family, problem, torch.tensor(tokens))
            worst = max(worst, float((ours - torch.tensor(theirs)).abs().max()))
    return worst


def line(name: str, folder: Path) -> str:
    """A row of the table."""
    engine = trial.engine_of(folder)
    sees = plain.processor_of(engine.family) is not None
    llm = LLM(
        str(folder),
        enforce_eager=True,
        dtype="float32",
        max_model_len=1024,
        enable_chunked_prefill=False,
        logprobs_mode="processed_logprobs",
        limit_mm_per_prompt={"image": 8} if sees else None,
        trust_remote_code=False,
    )
    problems = trial.problems_for(engine)
    before = gap(llm, engine, problems)
    with torch.no_grad():
        for weight in engine.policy.parameters():
            weight.mul_(1.03)
    named = [(n, w.detach()) for n, w in engine.policy.named_parameters()]

    def receive(worker: Any) -> None:
        for pair in named:
            worker.model_runner.model.load_weights(weights=[pair])

    llm.collective_rpc(receive)
    llm.reset_prefix_cache()
    llm.llm_engine.reset_encoder_cache()
    return f"| {name} | yes | {before:.1e} | {gap(llm, engine, problems):.1e} |"


def main(words: list[str]) -> None:
    torch.set_num_threads(1)
    prefer_pillow()
    print(HEAD)
    for name in words or list(trial.twins.TWINS):
        with tempfile.TemporaryDirectory() as scratch:
            folder = trial.twins.write(name, Path(scratch) / "model")
            try:
                print(line(name, folder), flush=True)
            except Exception as error:  # noqa: BLE001  another program's failure is the finding
                why = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
                print(f"| {name} | no: {type(error).__name__}: {why} | | |", flush=True)
        gc.collect()
        cleanup_dist_env_and_memory()


if __name__ == "__main__":
    main(sys.argv[1:])
