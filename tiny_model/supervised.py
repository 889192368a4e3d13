"""The supervised part of the warm start: worked examples, and the loss of one step on them.

A family gives each problem two ways to think. `steps` states every value read from the picture and
computes the answer; `hunch` only states it. The examples mix the two, mostly hunches, as ordinary
text mixes careful and careless answers. So after the warm start the model can reason but seldom
does, and RL with verifiable rewards has to find out that reasoning pays.

Shapes: B examples, T response tokens.
"""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from mssr_rl.envs.families import FAMILIES, LEVELS, row
from mssr_rl.models import lean
from mssr_rl.models.encode import PromptEncoder
from mssr_rl.models.score import hidden_states
from mssr_rl.models.vocabulary import Vocabulary, score_tokens
from mssr_rl.problem import Problem
from mssr_rl.prompts import IMAGE, posed


class Example(NamedTuple):
    """A problem and the two responses that teach it."""

    problem: Problem  # its prompt contains the instruction
    careful: str
    hasty: str


def response(thought: str, answer: str) -> str:
    """Return a whole response in the format that the grader expects."""
    return f"<think>{thought}</think>\\boxed{{{answer}}}"


def example(position: int) -> Example:
    """Return training example number `position`; the cells of (level, family) take turns."""
    names = list(FAMILIES)
    index, cell = divmod(position, len(names) * len(LEVELS))
    level, family = divmod(cell, len(names))
    made = row(names[family], "train", LEVELS[level], index)
    problem = Problem(
        key=made["id"],
        prompt=made["problem"],
        answer=made["answer"],
        images=(made["images"][0]["bytes"],),
        tags={"family": made["family"], "level": str(made["level"])},
    )
    careful, hasty = (response(made[kind], made["answer"]) for kind in ("steps", "hunch"))
    return Example(posed(problem, "short"), careful, hasty)


def texts(example: Example) -> list[str]:
    """Return all text of its two conversations, turn by turn."""
    asked = example.problem.prompt.replace(IMAGE, "")
    return ["user\n", asked, "assistant\n", example.careful, example.hasty]


def draw_examples(count: int, workers: int) -> list[Example]:
    """Return the first `count` training examples, drawn by several processes."""
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(example, range(count), chunksize=500))


def greyed(problem: Problem) -> Problem:
    """Return the same problem with a flat grey picture, to measure what can be guessed."""
    first = Image.open(io.BytesIO(problem.images[0]))
    png = io.BytesIO()
    Image.new("RGB", first.size, (128, 128, 128)).save(png, "PNG")
    return Problem(
        key=problem.key,
        prompt=problem.prompt,
        answer=problem.answer,
        images=(png.getvalue(),) * len(problem.images),
        tags=problem.tags,
    )


def batches(rows: Sequence[int], size: int, seed: int) -> Iterator[list[int]]:
    """Yield batches of `size` rows from endless shuffled epochs."""
    rng = np.random.default_rng(seed)
    waiting: list[int] = []
    while True:
        while len(waiting) < size:
            waiting.extend(rng.permutation(rows).tolist())
        yield waiting[:size]
        waiting = waiting[size:]


def response_tokens(texts: Sequence[str], tokenizer: Any) -> tuple[Tensor, Tensor]:
    """Return right-padded tokens with the end token, and their mask: B T."""
    rows = [[*tokenizer.encode(t, add_special_tokens=False), tokenizer.eos_token_id] for t in texts]
    width = max(map(len, rows))
    token_BT = torch.full((len(rows), width), tokenizer.pad_token_id)
    mask_BT = torch.zeros(len(rows), width)
    for i, ids in enumerate(rows):
        token_BT[i, : len(ids)] = torch.tensor(ids)
        mask_BT[i, : len(ids)] = 1
    return token_BT, mask_BT


def loss(
    model: Any, encoder: PromptEncoder, examples: Sequence[Example], hasty_share: float
) -> Tensor:
    """Return the weighted negative log-likelihood per response token [nat].

    Both answers of a problem share one reading of its prompt. The weights make the model begin a
    hasty answer with probability `hasty_share`.
    """
    texts = [text for e in examples for text in (e.careful, e.hasty)]
    token_BT, mask_BT = response_tokens(texts, encoder.processor.tokenizer)
    prompts = encoder.block([e.problem for e in examples])
    hidden_ND = hidden_states(model, lean.read_prompts(model, prompts), (token_BT, mask_BT))
    weight_BT = (
        mask_BT * torch.tensor([1 - hasty_share, hasty_share]).repeat(len(examples))[:, None]
    )
    chosen = mask_BT.bool()
    logits_NV = F.linear(hidden_ND, model.lm_head.weight)
    scores = score_tokens(logits_NV, token_BT[chosen], Vocabulary.of(model), 1.0)
    return -(scores.logprob_N * weight_BT[chosen]).sum() / weight_BT.sum()
