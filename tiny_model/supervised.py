"""The data and the loss of the tiny model's supervised warm start.

Each problem has two worked responses. The careful one (`steps`) states every value in the picture
and computes the answer. The hasty one (`hunch`) only states the answer. Training uses both, with
the larger weight on hasty responses. So after the warm start the model can reason but seldom does.
RL with verifiable rewards can then make it reason more often.

Shapes: B examples, T response tokens.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mssr_rl.envs.families import FAMILIES, LEVELS, row
from mssr_rl.envs.mini import told
from mssr_rl.models import lean
from mssr_rl.models.encode import PromptEncoder
from mssr_rl.models.score import hidden_states
from mssr_rl.models.vocabulary import Vocabulary, score_tokens
from mssr_rl.problem import Problem
from mssr_rl.prompts import IMAGE, posed


class SupervisedExample(NamedTuple):
    """A training problem with its careful and its hasty response."""

    problem: Problem  # its prompt contains the instruction
    careful: str
    hasty: str


def response(thought: str, answer: str) -> str:
    """Return a whole response in the format that the grader expects."""
    return f"<think>{thought}</think>\\boxed{{{answer}}}"


def example(position: int, scene: str = "picture") -> SupervisedExample:
    """Return training example number `position`.

    Consecutive examples go through all pairs of level and family in turn. With `scene="words"` it
    is the text twin (`env.scene`).
    """
    names = list(FAMILIES)
    index, cell = divmod(position, len(names) * len(LEVELS))
    level, family = divmod(cell, len(names))
    made = row(names[family], "train", LEVELS[level], index)
    if scene == "words":
        made |= told(made)
    problem = Problem(
        key=made["id"],
        prompt=made["problem"],
        answer=made["answer"],
        images=tuple(image["bytes"] for image in made["images"]),
        tags={"family": made["family"], "level": str(made["level"])},
    )
    careful, hasty = (response(made[kind], made["answer"]) for kind in ("steps", "hunch"))
    return SupervisedExample(posed(problem, "short"), careful, hasty)


def texts(example: SupervisedExample) -> list[str]:
    """Return the texts of an example: roles, prompt, and both responses."""
    asked = example.problem.prompt.replace(IMAGE, "")
    return ["user\n", asked, "assistant\n", example.careful, example.hasty]


def draw_examples(count: int, workers: int, scene: str = "picture") -> list[SupervisedExample]:
    """Return the first `count` training examples, made by `workers` processes in parallel."""
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(partial(example, scene=scene), range(count), chunksize=500))


def batches(rows: Sequence[int], size: int, seed: int) -> Iterator[list[int]]:
    """Yield batches of `size` rows without end; the rows are shuffled again in each epoch."""
    rng = np.random.default_rng(seed)
    waiting: list[int] = []
    while True:
        while len(waiting) < size:
            waiting.extend(rng.permutation(rows).tolist())
        yield waiting[:size]
        waiting = waiting[size:]


def response_tokens(texts: Sequence[str], tokenizer: Any) -> tuple[Tensor, Tensor]:
    """Return the right-padded tokens of texts and their mask, each B T.

    Every row ends with the end token.
    """
    rows = [[*tokenizer.encode(t, add_special_tokens=False), tokenizer.eos_token_id] for t in texts]
    width = max(map(len, rows))
    token_BT = torch.full((len(rows), width), tokenizer.pad_token_id)
    mask_BT = torch.zeros(len(rows), width)
    for i, ids in enumerate(rows):
        token_BT[i, : len(ids)] = torch.tensor(ids)
        mask_BT[i, : len(ids)] = 1
    return token_BT, mask_BT


def loss(
    model: Any, encoder: PromptEncoder, examples: Sequence[SupervisedExample], hasty_share: float
) -> Tensor:
    """Return the weighted mean of the negative log-likelihood of response tokens [nat].

    Tokens of hasty responses have weight `hasty_share`, those of careful ones 1 - `hasty_share`.
    So the model learns to begin a hasty response with that probability.
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
