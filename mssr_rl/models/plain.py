"""Prompts and log-probabilities by plain transformers, to check the other implementations.

They are computed for one response at a time, with the family's own processor or tokenizer. One
forward pass reads prompt and response. There is no padding and no cache, and transformers computes
the positions.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mssr_rl.data.pictures import decode
from mssr_rl.models.family import Family
from mssr_rl.models.general import General
from mssr_rl.problem import Problem
from mssr_rl.prompts import IMAGE, bare_text, chat_messages

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

TYPED = ("token_type_ids", "mm_token_type_ids")


def processor_of(family: Family) -> "ProcessorMixin | None":
    """Return the family's processor; None for a text model."""
    return family.encoder.processor


def prompt(family: Family, problem: Problem) -> dict[str, Tensor]:
    """Return the model's keyword arguments for one problem's prompt."""
    tokenizer, processor = family.tokenizer, processor_of(family)
    speaker = processor if processor is not None and processor.chat_template else tokenizer
    text = _text(speaker, problem, pictured=processor is not None)
    # A template writes the model's start token; a bare text gets it from the tokenizer.
    special = {"add_special_tokens": not speaker.chat_template, "return_tensors": "pt"}
    if processor is None:
        return dict(tokenizer([text], **special))
    pictures = [decode(data) for data in problem.images]
    made = processor(text=[text], images=[pictures] if pictures else None, **special)
    return {name: x for name, x in made.items() if name != "labels"}


def _text(
    speaker: "ProcessorMixin | PreTrainedTokenizerBase", problem: Problem, *, pictured: bool
) -> str:
    if not speaker.chat_template:
        return bare_text(problem, getattr(speaker, "image_token", None) or IMAGE)
    messages = chat_messages(problem)
    if not pictured:
        messages = [{**m, "content": m["content"][0]["text"]} for m in messages]
    text: str = speaker.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    return text


@torch.no_grad()
def logprob(
    model: "PreTrainedModel", family: Family, problem: Problem, response_T: Tensor
) -> Tensor:
    """Return the log-probability of each response token [nat], over the allowed tokens."""
    inputs, length = prompt(family, problem), len(response_T)
    inputs["input_ids"] = torch.cat((inputs["input_ids"], response_T[None]), 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    types = family.response_types if isinstance(family, General) else {}
    for name in set(TYPED) & inputs.keys():
        kind = types.get(name, 0)
        inputs[name] = torch.nn.functional.pad(inputs[name], (0, length), value=kind)
    logits_TV = model(**inputs).logits[0, -length - 1 : -1].float()
    logits_TV = logits_TV.index_fill(-1, family.vocabulary.banned, -torch.inf)
    known_T: Tensor = logits_TV.log_softmax(-1).gather(1, response_T[:, None])[:, 0]
    return known_T


def greedy(model: "PreTrainedModel", family: Family, problem: Problem, tokens: int) -> list[int]:
    """Return the greedy response of transformers' `generate`, as at most `tokens` token ids."""
    inputs = prompt(family, problem)
    out = model.generate(
        **inputs,
        do_sample=False,
        max_new_tokens=tokens,
        suppress_tokens=family.vocabulary.banned.tolist() or None,
        eos_token_id=family.vocabulary.end.tolist(),
    )
    answer: list[int] = out[0, inputs["input_ids"].shape[1] :].tolist()
    return answer
