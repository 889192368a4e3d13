"""Write conversations with a model's chat template, which may come from an unknown author.

A template is a small program in Jinja's sandbox. It cannot access anything outside, but it may run
for ever or fill the memory. So each new template first writes one conversation in a separate
process with limits (`template_trial`).
"""

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from mssr_rl.errors import UserError
from mssr_rl.models import TINY

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, ProcessorMixin

LONGEST = 2_000_000  # characters of one prompt
SECONDS = 5  # of processor time; an ordinary template takes a thousandth of a second
PATIENCE = 60.0  # limit on a busy machine [s]
MEMORY = 2**30  # bytes
TRIAL = Path(__file__).with_name("template_trial.py")


def spoken(speaker: "ProcessorMixin | PreTrainedTokenizerBase", messages: Sequence[Any]) -> str:
    """Return the messages as text, written with the chat template of a processor or tokenizer.

    The text ends with the start of the assistant's response.

    Raises:
        UserError: the template does not end, fills the memory, or fails.
    """
    try_out(_template(speaker), json.dumps(list(messages)))
    try:
        text: str = speaker.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False
        )
    except (TemplateError, ArithmeticError, LookupError, MemoryError, RecursionError) as error:
        raise _refusal(f"fails with {type(error).__name__}: {_first_line(error)}") from error
    if len(text) > LONGEST:
        raise _refusal(f"writes more than {LONGEST:,} characters for one problem")
    return text


def try_out(template: str, messages: str) -> None:
    """Raise UserError if a chat template needs too much time, memory or text for a conversation.

    `messages` is the conversation as JSON text. A template that has passed is not tried again.
    """
    if template and template not in _tried:
        if template != _ours():
            _refuse_endless(template, json.loads(messages))
        _tried.add(template)


_tried: set[str] = set()


@lru_cache(maxsize=1)
def _ours() -> str:
    return (TINY / "chat_template.jinja").read_text("utf-8")


def _template(speaker: "ProcessorMixin | PreTrainedTokenizerBase") -> str:
    """Return the chat template that transformers will use, or an empty text if there is none.

    If there are several, it is the one named `default`.
    """
    template = speaker.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    return template if isinstance(template, str) else ""


def _refuse_endless(template: str, messages: list[Any]) -> None:
    conversation = {
        "messages": messages,
        "add_generation_prompt": True,
        "bos_token": "",
        "eos_token": "",
    }
    job = json.dumps({"template": template, "told": conversation, "longest": LONGEST})
    try:
        process = subprocess.run(
            [sys.executable, "-I", str(TRIAL)],
            input=job,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            preexec_fn=_limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _refusal(f"does not end within {PATIENCE:g} s") from None
    # A signal of the kernel ended it: the limit on processor time.
    if process.returncode < 0:
        raise _refusal(f"does not end within {SECONDS} s of processor time")
    try:
        outcome = json.loads(process.stdout)
    except ValueError:  # Python itself ran out of memory
        raise _refusal(f"takes more than {MEMORY >> 20} MiB") from None
    if "memory" in outcome:
        raise _refusal(f"takes more than {MEMORY >> 20} MiB")
    if outcome.get("length", 0) > LONGEST:
        raise _refusal(f"writes more than {LONGEST:,} characters for one problem")


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _refusal(what: str) -> UserError:
    return UserError(
        f"the model's chat template {what}; put that of the published model into its folder, as "
        "chat_template.jinja"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no reason given").splitlines()[0][:200]
