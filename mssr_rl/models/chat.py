"""Turn problems into prompts with a model's own processor, tokenizer and chat template.

Shapes: P prompts, L prompt tokens.
"""

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mssr_rl.data.pictures import decode
from mssr_rl.errors import UserError
from mssr_rl.models.templates import spoken
from mssr_rl.problem import Problem
from mssr_rl.prompts import IMAGE, bare_text, chat_messages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, ProcessorMixin

ROOM = 256 << 20  # bytes of encoded prompts that are kept
BY_TOKEN = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
THINK = "<think>"


class ChatEncoder:
    """An encoder of problems, with a tokenizer and, if the model takes pictures, a processor."""

    def __init__(
        self,
        processor: "ProcessorMixin | None",
        tokenizer: "PreTrainedTokenizerBase",
        max_tokens: int,
        *,
        remember: bool = True,
    ) -> None:
        self.processor, self.tokenizer, self.max_tokens = processor, tokenizer, max_tokens
        self._speaker = next(
            (x for x in (processor, tokenizer) if getattr(x, "chat_template", None)), None
        )
        self.picture_sign = getattr(processor, "image_token", None)
        self.picture_tokens = torch.tensor(_picture_ids(processor), dtype=torch.int64)
        self.opening = self._opening()
        self._remember = remember
        self._kept: dict[int, tuple[Problem, dict[str, Tensor]]] = {}
        self._room = ROOM
        self._lock = Lock()  # two threads must not use a tokenizer at once

    @property
    def said(self) -> str:
        """A phrase that says whether prompts are written with a chat template."""
        if self._speaker is None:
            return "without a chat template: the prompt is the problem's own text"
        return "its own chat template" + (f" (it opens {THINK})" if self.opening else "")

    def inputs(self, problem: Problem) -> dict[str, Tensor]:
        """Return the model's keyword arguments for one prompt, on the CPU.

        Raises:
            UserError: the prompt is too long, or this model cannot take the problem.
        """
        kept = self._kept.get(id(problem))
        if kept is not None:
            return kept[1]
        with self._lock:
            inputs = self._encoded(problem)
        length = inputs["input_ids"].shape[1]
        if length > self.max_tokens:
            raise UserError(
                f"the prompt of {problem.key} has {length} tokens, over "
                f"rollout.max_prompt_tokens={self.max_tokens}; raise it or drop the problem"
            )
        return self._keep(problem, inputs)

    def _keep(self, problem: Problem, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Store the inputs of a problem and return them. A full store is emptied first.

        A training step needs each prompt four times; the next step has other prompts.
        """
        if not self._remember:
            return inputs
        size = sum(x.nbytes for x in inputs.values())
        if size > self._room:
            self._kept.clear()
            self._room = ROOM
        self._kept[id(problem)] = (problem, inputs)
        self._room -= size
        return inputs

    def _encoded(self, problem: Problem) -> dict[str, Tensor]:
        text = self.text(problem)
        # A template writes the model's start token; a bare text gets it from the tokenizer.
        special = {"add_special_tokens": self._speaker is None, "return_tensors": "pt"}
        if self.processor is None:
            encoded = self.tokenizer([text], **special)
        else:
            pictures = [[decode(data) for data in problem.images]] if problem.images else None
            try:
                encoded = self.processor(text=[text], images=pictures, **special)
            except (ValueError, TypeError, IndexError) as error:
                raise UserError(
                    f"{problem.key} cannot be shown to this model: {_first_line(error)}"
                ) from error
        tensors = {name: x for name, x in encoded.items() if isinstance(x, Tensor)}
        tensors.pop("labels", None)
        return tensors

    def signed_tokens(self, problem: Problem) -> list[int]:
        """Return the token ids of a prompt, with one picture token for each picture."""
        with self._lock:
            text, special = self.text(problem), self._speaker is None
            tokens: list[int] = self.tokenizer.encode(text, add_special_tokens=special)
        return tokens

    def text(self, problem: Problem) -> str:
        """Return the prompt as text, with the model's own picture token for each picture.

        Raises:
            UserError: the problem's text contains the picture token, or the problem has a picture
                and the model reads text only.
        """
        if problem.images and self.processor is None:
            raise UserError(
                f"{problem.key} has a picture, and this model reads text only; take a "
                "vision-language model, or an environment of text"
            )
        if self.picture_sign and self.picture_sign in problem.prompt.replace(IMAGE, ""):
            raise UserError(
                f"the text of {problem.key} holds the model's own sign for a picture, "
                f"{self.picture_sign}; pictures belong into Problem.images"
            )
        if self._speaker is None:
            return bare_text(problem, self.picture_sign or "")
        return self._templated(chat_messages(problem))

    def _templated(self, messages: list[dict[str, Any]]) -> str:
        assert self._speaker is not None
        if self.processor is None:  # templates of text models take a message's text as it is
            messages = [
                {"role": m["role"], "content": "".join(part["text"] for part in m["content"])}
                for m in messages
            ]
        return spoken(self._speaker, messages)

    def _opening(self) -> str:
        """Return the think tag if the template ends a prompt with it, else an empty text.

        Such a tag is the start of the response.
        """
        if self._speaker is None:
            return ""
        question = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
        text = self._templated(question).rstrip()
        return f"{THINK}\n" if text.endswith(THINK) else ""


def _picture_ids(processor: "ProcessorMixin | None") -> list[int]:
    ids = getattr(processor, "image_token_ids", None) or []
    return [i for i in ids if isinstance(i, int)]


def collated(rows: Sequence[dict[str, Tensor]], pad: int) -> dict[str, Tensor]:
    """Return encoded prompts as one block of keyword arguments for the model.

    Tokens are padded on the left; pictures are concatenated. If pictures have several shapes, the
    smaller ones are padded with zeros, as the families' own processors do for a batch.
    """
    width = max(row["input_ids"].shape[1] for row in rows)
    block = {}
    for name in BY_TOKEN:
        if name in rows[0]:
            value = pad if name == "input_ids" else 0
            padded = [F.pad(r[name], (width - r[name].shape[1], 0), value=value) for r in rows]
            block[name] = torch.cat(padded)
    for name in sorted({name for row in rows for name in row} - set(BY_TOKEN)):
        block[name] = _stacked([row[name] for row in rows if name in row])
    return block


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    shape = [max(sizes) for sizes in zip(*(x.shape[1:] for x in parts), strict=True)]
    return torch.cat([_filled(x, shape) for x in parts])


def _filled(x: Tensor, shape: Sequence[int]) -> Tensor:
    missing = [want - size for want, size in zip(shape, x.shape[1:], strict=True)]
    if not any(missing):
        return x
    return F.pad(x, [side for more in reversed(missing) for side in (0, more)])


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
