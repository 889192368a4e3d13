"""What the policy reads: the problem's text, an instruction behind it, and where pictures go.

An environment poses its problems once, when it is made; every engine then reads the same text.
"""

import difflib
from dataclasses import replace
from typing import Any

from mssr_rl.errors import UserError
from mssr_rl.problem import Problem

IMAGE = "<image>"

INSTRUCTIONS = {
    "paper": (  # the user turn's suffix in MSSR's released code
        "You FIRST think about the reasoning process as an internal monologue and then provide the"
        " final answer. The reasoning process MUST BE enclosed within <think> </think> tags."
        " The final answer MUST BE put in \\boxed{}."
    ),
    "short": "Think, then answer in \\boxed{}.",
    "none": "",
}


def suffix(instruction: str) -> str:
    """The text that the named instruction adds; an unknown name is a `UserError`."""
    if instruction not in INSTRUCTIONS:
        close = difflib.get_close_matches(instruction, INSTRUCTIONS, n=1)
        advice = f"did you mean {close[0]}?" if close else f"choose from {', '.join(INSTRUCTIONS)}"
        raise UserError(f"no instruction {instruction!r}; {advice}")
    return INSTRUCTIONS[instruction]


def user_text(problem: Problem, instruction: str) -> str:
    """The whole user turn as text, one `<image>` tag for each picture."""
    tags = problem.prompt.count(IMAGE)
    if tags not in (0, len(problem.images)):
        raise UserError(
            f"problem {problem.key} has {len(problem.images)} pictures but {tags} {IMAGE} tags;"
            " write one tag for each picture, or none to have them in front"
        )
    front = "" if tags else IMAGE * len(problem.images)
    return f"{front}{problem.prompt.strip()} {suffix(instruction)}".strip()


def posed(problem: Problem, instruction: str) -> Problem:
    """The problem as the policy reads it: its prompt is the whole user turn."""
    return replace(problem, prompt=user_text(problem, instruction))


def blinded(problem: Problem) -> Problem:
    """A posed problem without its pictures, and without the tags where they stood."""
    return replace(problem, prompt=problem.prompt.replace(IMAGE, "").strip(), images=())


def chat_messages(problem: Problem) -> list[dict[str, Any]]:
    """One user message in Hugging Face's chat format, pictures and text in the order of the tags.

    The pictures themselves are not in it: the processor takes `problem.images` in this order.
    """
    content: list[dict[str, str]] = []
    for i, text in enumerate(problem.prompt.split(IMAGE)):
        if i:
            content.append({"type": "image"})
        if text:
            content.append({"type": "text", "text": text})
    return [{"role": "user", "content": content}]
