"""What the policy reads: the instruction and the places of the pictures."""

import pytest

from mssr_rl.errors import UserError
from mssr_rl.problem import Example, Problem
from mssr_rl.prompts import (
    INSTRUCTIONS,
    bare_text,
    blinded,
    chat_messages,
    posed,
    user_text,
)


def problem(prompt: str, pictures: int = 1) -> Problem:
    return Problem(key="p7", prompt=prompt, answer="5", images=(b"png",) * pictures)


def contents(prompt: str, pictures: int = 1, instruction: str = "none") -> list[str]:
    (message,) = chat_messages(posed(problem(prompt, pictures), instruction))
    assert message["role"] == "user"
    return [part.get("text", part["type"]) for part in message["content"]]


def test_a_picture_goes_where_its_tag_stands() -> None:
    assert contents("<image>How many?") == ["image", "How many?"]
    assert contents("Here <image> and <image>: which?", 2) == [
        "Here ", "image", " and ", "image", ": which?",
    ]  # fmt: skip


def test_pictures_without_tags_go_in_front() -> None:
    assert contents("How many?", 2) == ["image", "image", "How many?"]
    assert user_text(problem("How many?"), "none") == "<image>How many?"


def test_a_problem_without_pictures_is_text_only() -> None:
    assert contents("2 + 3?", 0, "short") == [f"2 + 3? {INSTRUCTIONS['short']}"]


def test_the_instruction_stands_behind_the_problem() -> None:
    assert user_text(problem("<image> How many? \n"), "short") == (
        "<image> How many? Think, then answer in \\boxed{}."
    )


def test_the_paper_instruction_says_first_think_then_box() -> None:
    text = INSTRUCTIONS["paper"]
    order = [text.index(part) for part in ("FIRST think", "<think> </think>", "\\boxed{}")]
    assert order == sorted(order)


def test_the_messages_hold_the_same_words_as_the_text() -> None:
    asked = problem("See <image> here")
    (message,) = chat_messages(posed(asked, "paper"))
    said = "".join(part.get("text", "<image>") for part in message["content"])
    assert said == user_text(asked, "paper")


def test_tags_and_pictures_that_differ_in_number_are_refused_with_the_key() -> None:
    with pytest.raises(UserError, match="problem p7 has 1 pictures but 2 <image> tags"):
        posed(problem("<image><image>?"), "short")


def test_a_misspelt_instruction_is_refused_with_the_right_name() -> None:
    with pytest.raises(UserError, match="no instruction 'shrot'; did you mean short"):
        user_text(problem("?"), "shrot")


def test_a_blinded_problem_keeps_its_words_and_nothing_of_its_pictures() -> None:
    seen = Problem(key="k", prompt="<image>What is <image> here?", answer="3", images=(b"1", b"2"))
    blind = blinded(seen)
    assert (blind.prompt, blind.images) == ("What is  here?", ())
    assert (blind.key, blind.answer) == ("k", "3")


def test_examples_are_turns_of_their_own_in_front_of_the_question() -> None:
    shown = Problem(key="p", prompt="3 + 4?", answer="7", examples=(Example("1 + 1?", "2"),))
    turns = [(turn["role"], turn["content"][0]["text"]) for turn in chat_messages(shown)]
    assert turns == [("user", "1 + 1?"), ("assistant", "2"), ("user", "3 + 4?")]
    assert bare_text(shown, "") == "1 + 1?\n2\n\n3 + 4?\n"


def test_a_bare_text_without_examples_is_the_prompt_with_the_models_own_picture_sign() -> None:
    assert bare_text(problem("See <image>!"), "[IMG]") == "See [IMG]!"
