"""The command `check model=PATH`, which checks a model folder before a long training run.

It shows an example prompt, and the tokens that end a response. It checks that all weights exist and
that the tokenizer fits them. Prompts must be as long as those of the model's own processor; test
problems have no, one or two pictures, some of unusual sizes. Log-probabilities are compared with
those of plain transformers, and a saved copy is compared with the model.
"""

import io
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from mssr_rl import outward
from mssr_rl.config.words import parse_words
from mssr_rl.engine_protocol import Sampling
from mssr_rl.errors import UserError
from mssr_rl.models import load, plain
from mssr_rl.models.family import Family
from mssr_rl.problem import Problem
from mssr_rl.typed import option

if TYPE_CHECKING:
    from transformers import PreTrainedModel

THRESHOLD = 1e-3  # [nat], float32: sums in another order stay below 1e-4 at logits of order 10
GROUP, TOKENS = 2, 12
SIZES = ((96, 96), (130, 70), (64, 96), (200, 40), (57, 31))  # width and height


class LoadedFolder(NamedTuple):
    """A loaded model, its family and the path of its folder."""

    path: str
    model: "PreTrainedModel"
    family: Family


@dataclass(frozen=True, kw_only=True)
class ModelWords:
    """The arguments of `check model=PATH`."""

    model: str = option("`tiny`, a folder in the `save_pretrained` layout, or a hub id")


def check_model_folder(words: Sequence[str]) -> int:
    """Check the folder that the arguments name, and print the results.

    Returns the exit code: 1 if there are findings, else 0.
    """
    path = parse_words(ModelWords, words).model
    model = load.load_model(path, "cpu", "float32")
    subject = LoadedFolder(
        path, model, load.family_of(model, load.Wanted(path, max_prompt_tokens=4096))
    )
    wrong = 0
    for line in lines(subject):
        wrong += line.startswith("FAIL")
        sys.stdout.write(outward.plain(line).replace("\n", "\\n") + "\n")
    sys.stdout.write("sound\n" if not wrong else f"{wrong} findings\n")
    return 1 if wrong else 0


def lines(subject: LoadedFolder) -> Iterator[str]:
    """Yield the output of all checks, line by line; lines of findings begin with FAIL."""
    yield from _shown(subject)
    yield from _words(subject)
    shown = [p for p in problems(subject) if not isinstance(p, str)]
    yield from _prompts(subject, shown)
    worst = 0.0
    for problem in shown:
        gap = gaps(subject, problem)
        worst = max(worst, *gap)
        mark = "FAIL " if max(gap) > THRESHOLD else ""
        yield (
            f"{mark}scores     {problem.key}: sampled {gap[0]:.1e}, scored {gap[1]:.1e} from plain "
            "transformers"
        )
    yield f"worst      {worst:.1e} nat, threshold {THRESHOLD:g}"
    yield from _copy(subject, shown[0])


# ---- what is shown ----------------------------------------------------------------------------


def _shown(subject: LoadedFolder) -> Iterator[str]:
    family, count = subject.family, sum(p.numel() for p in subject.model.parameters())
    yield f"model      {subject.path}: {family.kind}, {count:,} parameters"
    yield f"family     {family.said}"
    words = family.tokenizer

    def named(tokens: Sequence[int]) -> str:
        return ", ".join(f"{words.decode([token])!r} ({token})" for token in tokens[:12])

    yield f"ends       {named(family.vocabulary.end.tolist())}"
    yield f"forbidden  {named(family.vocabulary.banned.tolist()) or 'nothing'}"
    example = plain.prompt(family, problems(subject)[0])["input_ids"][0].tolist()
    yield f"prompt     {words.decode(example)!r}"
    if family.opening:
        yield f"opening    the prompt begins the response with {family.opening!r}"


def problems(subject: LoadedFolder) -> list[Problem]:
    """Return the test problems: one without picture, some with one picture, and one with two.

    Some pictures have unusual sizes. For a model that reads text only, no problem has a picture;
    for a model that requires a picture, all have one.
    """
    text = Problem(key="text", prompt="What is 2 + 3?", answer="5")
    if plain.processor_of(subject.family) is None:
        return [text, Problem(key="long text", prompt="What is 2 + 3? " * 9, answer="5")]
    pictures = [_png(*size, seed) for seed, size in enumerate(SIZES)]
    single = [
        Problem(key=f"{w} x {h}", prompt="<image>What is shown?", answer="5", images=(picture,))
        for (w, h), picture in zip(SIZES, pictures, strict=True)
    ]
    two = Problem(
        key="two", prompt="<image><image>Which is larger?", answer="1", images=tuple(pictures[1:3])
    )
    try:
        subject.family.length(text)
    except UserError:  # the family requires a picture
        return [*single, two]
    return [text, *single, two]


def _png(width: int, height: int, seed: int) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, "PNG")
    return out.getvalue()


# ---- laws -------------------------------------------------------------------------------------


def _words(subject: LoadedFolder) -> Iterator[str]:
    """Yield findings if tokenizer and weights do not fit, or a chat turn's end is no end token."""
    family = subject.family
    rows = subject.model.get_input_embeddings().weight.shape[0]
    if len(family.tokenizer) > rows:
        yield f"FAIL vocabulary: the tokenizer has {len(family.tokenizer)} tokens, the model {rows}"
    closing = _closing(family)
    if closing is not None and closing not in family.vocabulary.end.tolist():
        word = family.tokenizer.decode([closing])
        yield (
            f"FAIL ends: the chat template closes an answer with {word!r} ({closing}), which does "
            "not end a response; name it in generation_config.json's eos_token_id"
        )


def _closing(family: Family) -> int | None:
    """Return the token that the chat template writes after a response; None if there is none."""
    processor = plain.processor_of(family)
    speakers = (processor, family.tokenizer)
    speaker = next((s for s in speakers if getattr(s, "chat_template", None)), None)
    if speaker is None:
        return None
    answer, mark = "assistant", "zyx"
    content: Any = [{"type": "text", "text": mark}] if processor is not None else mark
    turns = [{"role": "user", "content": content}, {"role": answer, "content": content}]
    text = speaker.apply_chat_template(turns, tokenize=False)
    behind = text.rpartition(mark)[2]
    tokens = family.tokenizer.encode(behind, add_special_tokens=False)
    return tokens[0] if tokens else None


def _prompts(subject: LoadedFolder, shown: Sequence[Problem]) -> Iterator[str]:
    """Yield the prompt length of every problem, and a finding if the processor's differs."""
    family = subject.family
    for problem in shown:
        stock = plain.prompt(family, problem)["input_ids"]
        block = family.block([problem], "cpu")
        if block.prompt_tokens != stock.shape[1]:
            yield (
                f"FAIL prompt: {problem.key} has {block.prompt_tokens} tokens here and "
                f"{stock.shape[1]} by the processor"
            )
        else:
            yield (
                f"prompts    {problem.key}: {block.prompt_tokens} tokens, pictures take "
                f"{block.image_tokens}"
            )


@torch.no_grad()
def gaps(subject: LoadedFolder, problem: Problem) -> tuple[float, float]:
    """Return the largest differences of log-probabilities from plain transformers [nat].

    The first is that of sampling, the second that of scoring the same responses. The problem is
    read in one block with a longer problem, so that its prompt is padded.
    """
    model, family = subject.model, subject.family
    longer = Problem(
        key="longer",
        prompt=f"{problem.prompt} {'Take your time. ' * 3}",
        answer="",
        images=problem.images,
    )
    block = family.block([problem, longer], "cpu")
    generator = torch.Generator().manual_seed(0)
    numbers = torch.rand((2 * GROUP, TOKENS), generator=generator)
    plan = Sampling(max_response_tokens=TOKENS)
    sampled = family.sample(model, family.read(model, block), plan, numbers)
    response = (sampled.token_BT, sampled.mask_BT)
    scored = family.score(model, family.read(model, block), response, 1.0)
    worst = [0.0, 0.0]
    for row in range(GROUP):
        real = sampled.mask_BT[row].bool()
        known = plain.logprob(model, family, problem, sampled.token_BT[row][real])
        for i, ours in enumerate((sampled.logprob_BT, scored.logprob_BT)):
            worst[i] = max(worst[i], float((ours[row][real] - known).abs().max()))
    return worst[0], worst[1]


def _copy(subject: LoadedFolder, problem: Problem) -> Iterator[str]:
    """Yield findings if a saved copy of the model has other weights or encodes other tokens."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "copy"
        subject.family.save(subject.model, folder)
        model = load.load_model(str(folder), "cpu", "float32")
        family = load.family_of(model, load.Wanted(str(folder), max_prompt_tokens=4096))
        same = dict(model.named_parameters())
        changed = [
            name for name, w in subject.model.named_parameters() if not torch.equal(same[name], w)
        ]
        if changed:
            yield f"FAIL copy: {len(changed)} weights of a saved copy differ, such as {changed[0]}"
        ours, theirs = (plain.prompt(f, problem)["input_ids"] for f in (subject.family, family))
        if not torch.equal(ours, theirs):
            yield "FAIL copy: a saved copy lays the same problem out in other tokens"
        elif not changed:
            yield "copy       a saved copy has the same weights and tokenizer"
