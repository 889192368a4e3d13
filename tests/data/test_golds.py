r"""Gold answers in the shapes they are stored in, and what a person would write for them."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from mssr_rl.data.golds import gold
from mssr_rl.grading.verify import gold_response, verify

GOLDS: list[tuple[Any, str]] = [
    ("5", "5"),
    (" A ", "A"),
    (5, "5"),
    (5.0, "5"),
    (2.5, "2.5"),
    (np.float32(0.1), "0.1"),
    (float(np.float32(0.1)), "0.1"),
    (float(np.float32(12.35)), "12.35"),
    ("0.10000000149", "0.1"),
    ("0.100000001490116", "0.1"),
    (0.1 + 0.2, "0.3"),
    ("0.30000000000000004", "0.3"),
    (1e-5, "0.00001"),
    (3.14159265359, "3.14159265359"),
    ("0.3333333333", "0.3333333333"),
    ("100000.0001", "100000.0001"),
    (1 / 3, "0.3333333333333333"),
    ("7.50", "7.50"),
    (Decimal("7.50"), "7.50"),
    (Decimal("3.00"), "3"),
    (Decimal("1E+3"), "1000"),
    (["7"], "7"),
    (["7", "7"], "7"),
    (np.int64(7), "7"),
    (np.array([7]), "7"),
    ("<answer> 3 </answer>", "3"),
    ("<think>so</think>\n<answer>3</answer>", "3"),
    ("<answer>\\boxed{3}</answer>", "3"),
    ("We add.\n#### 10", "10"),
    ("so #### 1,000.", "1,000"),
    ("\\boxed{10}", "10"),
    ("$\\boxed{10}$.", "10"),
    ("Hence \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
    ("First \\boxed{1}. Later we get \\boxed{2}.", "2"),
    ("The answer is 10.", "10"),
    ("Therefore, the final answer is $x+1$.", "x+1"),
    ("Answer: B", "B"),
    ("So the correct option is (C).", "(C)"),
    ("the answer is **12**", "12"),
    ("The answer", "The answer"),
    ("x = 5", "x = 5"),
    ("C. 12", "C. 12"),
]


@pytest.mark.parametrize(("stored", "written"), GOLDS)
def test_the_gold_is_what_a_person_would_write(stored: Any, written: str) -> None:
    assert gold(stored).text == written
    assert verify(gold_response(written), gold(stored).text).correct


CHOSEN: list[tuple[Any, list[str], str]] = [
    ("B", ["4", "5"], "B"),
    ("(B)", ["4", "5"], "B"),
    ("B.", ["4", "5"], "B"),
    ("B. 5", ["4", "5"], "B"),
    ("B: $5$", ["4", "5"], "B"),
    ("5", ["4", "5"], "5"),
    ("5.0", ["4", "5"], "5.0"),
    (5, ["4", "5"], "5"),
    ("E", ["A", "B", "D", "F", "G"], "E"),
    ("nan", ["nan", "b"], "nan"),
    ("The answer is B.", ["4", "5"], "B"),
]


@pytest.mark.parametrize(("stored", "options", "written"), CHOSEN)
def test_an_answer_among_options_is_a_letter_or_one_of_them(
    stored: Any, options: list[str], written: str
) -> None:
    assert gold(stored, options).text == written


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        (None, "has an empty answer"),
        ("", "has an empty answer"),
        (float("nan"), "empty answer"),
        ("nan", "means that there is no answer"),
        ("None", "means that there is no answer"),
        ("<answer> </answer>", "empty"),
        ({"value": 5}, "neither text nor a number but a dict"),
        (True, "but a bool"),
        (b"5", "but bytes"),
        (["5", "6"], "a list of 2 answers"),
        ([], "an empty list"),
        (
            "First we draw a line and then another one until there are enough of them.",
            "solution text",
        ),
        ("x" * 200, "no response could match it"),
        ("\\boxed{3} or \\boxed{4}", "several boxes"),
    ],
)
def test_what_no_short_answer_could_match_is_refused(stored: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        gold(stored)


def test_an_answer_that_was_taken_out_of_a_text_says_so() -> None:
    assert [gold(text).said for text in ("5", "<answer>5</answer>", "\\boxed{5}")] == ["", "", ""]
    assert gold("so \\boxed{5}").said == "a solution with a box"
    assert gold("so\n#### 5").said == "a solution that ends with ####"
    assert gold("The answer is 5.").said == "a sentence that gives the answer"
