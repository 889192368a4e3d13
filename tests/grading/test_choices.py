"""Options: letters in every dressing, option texts and values, and answers that name too much."""

import pytest

from mssr_rl.grading.choices import gold_letter
from mssr_rl.grading.verify import verify

LENGTHS = ("5 km", r"8 \mathrm{~km}", "$9$ km", "9 m", "12")
LETTERED = ("A. 5", "B. 6", "C. 7")
LETTER_TEXTS = ("A", "B", "C", "D", "The picture is not possible.")
SHUFFLED = ("B", "A", "d", "c")
TWICE = ("4", "5", "$4$", "6")
WORDS = ("North.", "East.", "1 and 6", "either 0, or 2", r"\text{Evelyn}")
TIMES = ("$12:22$", "$15:15$", "$1:3$")
PERCENT = (r"$9\%$", r"$23\frac{1}{3}\%$", r"$50 \%$")

LETTERS_THAT_PAY = [
    "A", "(A)", "A.", "A)", "A:", "a", "(a)", "a)", "( A )", "Option A", "option (A)", "Choice A",
    r"\text{A}", r"\textbf{(A)}", "**A**", "**A**. 5 km", "A. 5 km", "(A) a square",
    r"$\mathrm{A}$",
    r"\text{(A) } 5", "(A).", "Answer: A",
]  # fmt: skip
LETTERS_THAT_DO_NOT = [
    "B", "A or B", "A, B", "AB", "not A", "Apple", "A. or B", "(A)(B)", "A) no, (B)", "A. B. C. D.",
    "(A) and (B)", "A, I think", "Option A or C", "5", "A. not this", "A: the (A) or the (B) one",
    "(A", "AA", "A A", "A/B", "A&B", "not (A)", "(A) nor that", "any", "Optional",
]  # fmt: skip
PAYS = [
    ("A", "A", LENGTHS), ("5 km", "A", LENGTHS), ("5", "A", LENGTHS), ("A. 5 km", "A", LENGTHS),
    ("(A) 5", "A", LENGTHS), ("8 km", "B", LENGTHS), ("B", r"8 \mathrm{~km}", LENGTHS),
    ("C. $9$ km", "C", LENGTHS), ("9 km", "C", LENGTHS), ("12", "E", LENGTHS), ("e", "E", LENGTHS),
    ("12 km", "E", LENGTHS), ("B", "B", LETTERED), ("6", "B", LETTERED), ("B. 6", "B", LETTERED),
    ("C", "7", LETTERED), ("B", "B", LETTER_TEXTS), ("(B)", "B", LETTER_TEXTS),
    ("E", "E", LETTER_TEXTS), ("the picture is not possible", "E", LETTER_TEXTS),
    ("A", "A", SHUFFLED), ("d", "C", SHUFFLED), ("C", "d", SHUFFLED), ("D", "c", SHUFFLED),
    ("4", "A", TWICE), ("4", "C", TWICE), ("C", "A", TWICE), ("A", "4", TWICE), ("5", "B", TWICE),
    ("north", "A", WORDS), ("A. North", "A", WORDS), ("1 and 6", "C", WORDS),
    ("Evelyn", "E", WORDS),
    ("E", r"\text{Evelyn}", WORDS), ("either 0, or 2", "D", WORDS), ("15:15", "B", TIMES),
    ("B. 15:15", "B", TIMES), (r"9\%", "A", PERCENT), ("70/3 %", "B", PERCENT),
    ("1/2", "C", PERCENT),
]  # fmt: skip
DOES_NOT_PAY = [
    ("B", "A", LENGTHS), ("A. 8", "A", LENGTHS), ("7", "A", LENGTHS), ("A B", "A", LENGTHS),
    ("5 km or 8 km", "A", LENGTHS), ("F", "A", LENGTHS), ("A and B", "A", LENGTHS),
    ("9", "C", LENGTHS), ("9", "D", LENGTHS), ("B. 5 km", "A", LENGTHS), ("not A", "A", LENGTHS),
    ("A. 5 km, or B", "A", LENGTHS), ("13", "E", LENGTHS), ("5, 8, 9", "A", LENGTHS),
    ("A", "B", LETTER_TEXTS), ("not possible", "E", LETTER_TEXTS), ("B", "A", SHUFFLED),
    ("c", "C", SHUFFLED), ("5", "A", TWICE), ("north or east", "A", WORDS), ("No", "A", WORDS),
    ("1/3", "C", TIMES), ("15", "B", TIMES), ("50", "A", PERCENT),
]  # fmt: skip


def boxed(answer: str) -> str:
    return f"<think>look</think>\\boxed{{{answer}}}"


@pytest.mark.parametrize("answer", LETTERS_THAT_PAY)
def test_a_letter_pays_in_every_usual_dressing_when_the_options_are_unknown(answer: str) -> None:
    assert verify(boxed(answer), "A").correct


@pytest.mark.parametrize("answer", LETTERS_THAT_DO_NOT)
def test_another_letter_several_letters_or_a_word_do_not_pay(answer: str) -> None:
    assert not verify(boxed(answer), "A").correct


@pytest.mark.parametrize(("answer", "gold", "choices"), PAYS)
def test_the_letter_the_value_or_both_pay_when_the_options_are_known(
    answer: str, gold: str, choices: tuple[str, ...]
) -> None:
    assert verify(boxed(answer), gold, choices).correct


@pytest.mark.parametrize(("answer", "gold", "choices"), DOES_NOT_PAY)
def test_an_answer_that_names_another_option_none_or_several_does_not_pay(
    answer: str, gold: str, choices: tuple[str, ...]
) -> None:
    assert not verify(boxed(answer), gold, choices).correct


def test_a_gold_that_is_no_option_is_compared_as_it_is() -> None:
    assert verify(boxed("17"), "17", LENGTHS).correct
    assert not verify(boxed("A"), "17", LENGTHS).correct


def test_every_option_pays_itself_by_letter_and_by_text() -> None:
    for choices in (LENGTHS, LETTERED, LETTER_TEXTS, TWICE, WORDS, TIMES, PERCENT):
        for letter, option in zip("ABCDE", choices, strict=False):
            assert verify(boxed(letter), letter, choices).correct
            assert verify(boxed(option), letter, choices).correct, (option, letter)


def test_only_a_capital_letter_is_read_as_a_letter_of_the_gold() -> None:
    assert [gold_letter(t) for t in ("A", "(B)", "C.", "a", "AB", "5")] == ["A", "B", "C"] + [
        None
    ] * 3
