"""Builds the prompt: the text of the problem, an instruction after it, and the places of pictures.

An environment builds its prompts once, when it is made. So every engine reads the same text.
"""

from dataclasses import replace
from typing import Any

from mssr_rl.errors import UserError
from mssr_rl.problem import Problem
from mssr_rl.typed import closest

IMAGE = "<image>"

INSTRUCTIONS = {
    "paper": (  # the end of the user turn in MSSR's released code
        "You FIRST think about the reasoning process as an internal monologue and then provide the"
        " final answer. The reasoning process MUST BE enclosed within <think> </think> tags."
        " The final answer MUST BE put in \\boxed{}."
    ),
    "short": "Think, then answer in \\boxed{}.",
    "none": "",
}


def suffix(instruction: str) -> str:
    """Return the text of an instruction by its name. Raises `UserError` for an unknown name."""
    if instruction not in INSTRUCTIONS:
        close = closest(instruction, INSTRUCTIONS)
        advice = f"did you mean {close}?" if close else f"choose from {', '.join(INSTRUCTIONS)}"
        raise UserError(f"no instruction {instruction!r}; {advice}")
    return INSTRUCTIONS[instruction]


def user_text(problem: Problem, instruction: str) -> str:
    """Return the whole user turn as text, with one `<image>` tag per picture.

    Raises `UserError` if the number of tags fits neither 0 nor the number of pictures.
    """
    tags = problem.prompt.count(IMAGE)
    if tags not in (0, len(problem.images)):
        raise UserError(
            f"problem {problem.key} has {len(problem.images)} pictures but {tags} {IMAGE} tags;"
            " write one tag for each picture, or none to have them in front"
        )
    front = "" if tags else IMAGE * len(problem.images)
    return f"{front}{problem.prompt.strip()} {suffix(instruction)}".strip()


def posed(problem: Problem, instruction: str) -> Problem:
    """Return the problem with the text of the whole user turn as its prompt."""
    return replace(problem, prompt=user_text(problem, instruction))


def blinded(problem: Problem) -> Problem:
    """Return a problem without its pictures and without their `<image>` tags."""
    return replace(problem, prompt=problem.prompt.replace(IMAGE, "").strip(), images=())


def chat_messages(problem: Problem) -> list[dict[str, Any]]:
    """Return the problem in Hugging Face's chat format.

    Each example gives a user turn and an assistant turn. The last user turn holds the problem. It
    holds only placeholders for pictures: the processor takes them from `problem.images`.
    """
    turns = [
        {"role": role, "content": [{"type": "text", "text": text}]}
        for example in problem.examples
        for role, text in (("user", example.prompt), ("assistant", example.response))
    ]
    content: list[dict[str, str]] = []
    for i, text in enumerate(problem.prompt.split(IMAGE)):
        if i:
            content.append({"type": "image"})
        if text:
            content.append({"type": "text", "text": text})
    return [*turns, {"role": "user", "content": content}]


def bare_text(problem: Problem, sign: str) -> str:
    """Return the prompt for a model without a chat template; `sign` replaces each picture tag."""
    solved = (f"{example.prompt}\n{example.response}\n\n" for example in problem.examples)
    question = problem.prompt.replace(IMAGE, sign)
    return "".join(solved) + question + ("\n" if problem.examples else "")
