"""transformers' side of `benchmarks.rollouts`: its processor, `generate`, and decoding to text.

All rollouts of a turn are one batch, which is its fastest way on a CPU. It returns no
log-probabilities.
"""

import io
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from benchmarks.peers import Channel, options
from benchmarks.workloads import posed
from mssr_rl.models.load import load_model, load_processor
from mssr_rl.problem import Problem
from mssr_rl.prompts import chat_messages


def main(told: dict[str, Any]) -> None:
    """Sample one batch of rollouts at each turn.

    `told` holds `threads`, `problems` per turn, `group` rollouts of each, and `limit` in tokens.
    """
    channel = Channel()
    torch.set_num_threads(told["threads"])
    torch.manual_seed(0)
    model, processor = load_model("tiny", "cpu", "float32"), load_processor("tiny")
    ends = torch.tensor(model.generation_config.eos_token_id)
    channel.ready()
    turn = 0
    while channel.wait():
        inputs = _encoded(processor, posed(turn, told["problems"]))
        token_BT = _generated(model, inputs, told)
        texts = processor.batch_decode(token_BT, skip_special_tokens=True)
        channel.tell(samples=len(texts), tokens=_real(token_BT, ends))
        turn += 1


def _encoded(processor: Any, problems: Sequence[Problem]) -> Any:
    """Return the problems as model inputs, encoded as TRL does it.

    The chat template comes first, then the processor for text and pictures.
    """
    texts = [
        processor.apply_chat_template(
            chat_messages(problem), add_generation_prompt=True, tokenize=False
        )
        for problem in problems
    ]
    pictures = [[Image.open(io.BytesIO(data)) for data in p.images] for p in problems]
    return processor(
        text=texts, images=pictures, padding=True, padding_side="left", return_tensors="pt"
    )


@torch.inference_mode()
def _generated(model: Any, inputs: Any, told: dict[str, Any]) -> torch.Tensor:
    token_BL: torch.Tensor = model.generate(
        **inputs,
        do_sample=True,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        max_new_tokens=told["limit"],
        num_return_sequences=told["group"],
    )
    return token_BL[:, inputs["input_ids"].shape[1] :]


def _real(token_BT: torch.Tensor, ends: torch.Tensor) -> int:
    """Return the number of response tokens, up to and including the first end token."""
    ended_BT = torch.isin(token_BT, ends).long()
    return int(((ended_BT.cumsum(1) - ended_BT) == 0).sum())


if __name__ == "__main__":
    main(options())
