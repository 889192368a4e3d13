r"""Which answers are the same value: a table of those that pay and of those that do not.

Each pair is (what is in the box, the gold answer); all go through the whole grader.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mssr_rl.grading.algebra.compare import equivalent
from mssr_rl.grading.answers import read_off_or
from mssr_rl.grading.quantities import OverLimit
from mssr_rl.grading.verify import Verdict, verify

PAYS = {
    "numbers": [
        ("5", "5"), ("+5", "5"), ("5.0", "5"), ("5.", "5"), (".5", "0.5"), ("005", "5"),
        ("-0", "0"), ("-2.50", "-2.5"), ("1e3", "1000"), ("2.5E-3", "0.0025"),
        (r"3 \times 10^{5}", "300000"), (r"3\cdot10^{-2}", "0.03"), ("10^5", "100000"),
        ("12345678901234567890", "12345678901234567890"), ("9" * 3000 + ".0", "9" * 3000),
        ("3 × 10^{2}", "300"), ("2+3", "5"),
    ],
    "separators": [
        ("1,234", "1234"), ("1{,}234", "1234"), (r"1\,234", "1234"), (r"1,\!234", "1234"),
        ("1234", "1,234"), ("1,234.5", "1234.5"), ("12,345,678", "12345678"),
    ],
    "fractions": [
        (r"\frac12", "0.5"), (r"\dfrac{1}{2}", r"\frac{1}{2}"), (r"\tfrac{1}2", "1/2"),
        (r"\frac 1 2", "1/2"), ("1/2", r"\frac12"), ("2/4", r"\frac{1}{2}"),
        (r"-\frac{1}{2}", r"\frac{-1}{2}"), ("-1/2", "1/-2"), (r"\left(\frac12\right)", "0.5"),
        (r"\frac{0.5}{2}", "0.25"), ("0.25", "1/4"), (r"0.\overline{3}", "1/3"),
        (r"0.1\overline{6}", r"\frac{1}{6}"), (r"\frac{360}7", "360/7"), ("(3)/(4)", "0.75"),
    ],
    "mixed numbers": [
        (r"3\frac{1}{5}", "16/5"), (r"-3\frac{1}{5}", "-16/5"), ("3 1/2", "3.5"),
        (r"2\,\frac12", "2.5"),
    ],
    "percent": [
        (r"50\%", "1/2"), ("50%", "0.5"), (r"50\%", "50"), ("50", r"50\%"), ("50 percent", "50%"),
        ("33.3%", "33.3"), ("5000%", "50"),
    ],
    "money, degrees and units": [
        (r"\$5", "5"), ("$5", "5"), ("5 dollars", r"\$5"), ("€5.50", "5.5"), (r"30^\circ", "30"),
        ("30°", "30"), (r"30^{\circ}", "30"), ("30 degrees", "30°"), ("30", r"30^\circ"),
        ("30º", "30"), ("69{degrees}", "69"), ("4.4 m", "4.4"), ("4.4", r"4.4 \mathrm{~m}"),
        (r"5\text{ cm}^2", "5 square centimeters"), ("5 cm²", "5"), ("60 km/h", "60 km per hour"),
        (r"\frac12 \text{ in}", "0.5"), ("7 people", "7"), ("3 sq. units", "3 units^2"),
    ],
    "dressing": [
        (r"\text{Angela}", "Angela"), (r"\mathrm{5}", "5"), (r"\textbf{7}", "7"), ("{5}", "5"),
        ("$5$", "5"), ("$$5$$", "5"), (r"\(5\)", "5"), (r"\[ 5 \]", "5"), ("**5**", "5"),
        (r"\boxed{5}", "5"), (" 5\n", "5"), (r"\displaystyle 5", "5"), (r"\ 5\;", "5"),
        ("5", "$5$"), ("\N{NO-BREAK SPACE}5", "5"),
    ],
    "signs": [
        ("\N{MINUS SIGN}5", "-5"), ("\N{EN DASH}5", "-5"), ("--5", "5"), ("-(-5)", "5"),
        ("- 5", "-5"),
    ],
    "expressions": [
        (r"3\sqrt{5}", r"3 \sqrt 5"), (r"9\pi", r"9 \pi"), ("9π", r"9\pi"),
        (r"2+3\sqrt5", r"3\sqrt{5}+2"), (r"\frac{\sqrt{3}}{2}", r"\frac{\sqrt3}2"),
        ("x^2", "x^{2}"), ("x_1", "x_{1}"), ("2*x", "2x"), (r"\frac{x}{2}", "x/2"),
        ("1 + x", "x+1"), (r"\sqrt[3]{2}", r"\sqrt[3]{2}"),
    ],
    "equations": [
        ("y=2x+1", "y = 2x + 1"), ("y = 2x + 0", "y=2x"), ("y=1+2x", "y=2x+1"),
        ("2x+1", "y=2x+1"), ("y = -x", "y=-1x"), ("y-2x=1", "y=2x+1"), ("2y=4x+2", "y=2x+1"),
        ("x=5", "5"), ("5", "x = 5"), ("f(x)=2x", "2x"), (r"\theta = 30^\circ", "30"),
        ("AB = 7", "7"), ("(x, y) = (3, 1)", "(3,1)"), ("y = 0.5x", r"y = \frac{1}{2}x"),
        ("y = 2x + 3.", "y=2x+3"),
    ],
    "tuples, sets and lists": [
        ("(3, 1)", "(3,1)"), (r"\left(3,1\right)", "(3,1)"), (r"(\frac12, 1)", "(0.5,1)"),
        ("(3,-1)", "(3, \N{MINUS SIGN}1)"), ("((1,2),(3,4))", "((1, 2), (3, 4))"),
        (r"\{1,5\}", r"\{5, 1\}"), ("3, 4", "3,4"), ("[0, 5)", "[0,5)"), ("N, Q, M, P", "N,Q,M,P"),
        ("(3, 1).", "(3, 1)"),
    ],
    "times, ratios and words": [
        ("3:20", "3:20"), ("3 : 20", "3:20"), ("3:20.", "3:20"), (r"$3:20$", "3:20"),
        ("Yes.", "yes"), ("YES", "Yes"),
        ("the picture", "The  picture."), ("Isosceles triangle", "isosceles triangle"),
    ],
}  # fmt: skip
DOES_NOT_PAY = {
    "numbers": [
        ("5", "6"), ("12345678901234567891", "12345678901234567890"), ("90.1", "90.13"),
        ("0.333", "1/3"), ("1e-40", "1e-41"), ("5e3", "5e4"), ("15", "1 5"), ("٥", "5"),
        ("nan", "5"), ("inf", "5"), ("None", "5"), ("0/0", "0/0"), ("1/0", "1/0"), ("5 or", "5"),
        ("?", "5"),
    ],
    "separators": [
        ("12,34", "1234"), ("1.234", "1234"), ("1,2345", "12345"), ("1234,567", "1234567"),
        ("0,5", "0.5"), ("1 234", "1234"),
    ],
    "fractions and mixed numbers": [
        ("2/1", "1/2"), ("1/3/2", "2/3"), (r"3\frac{1}{5}", "3/5"), ("31/2", "3.5"),
        (r"-3\frac{1}{5}", "-14/5"), ("0.66", "2/3"),
    ],
    "percent and units": [
        ("5%", "0.5"), ("0.05", "50%"), ("9 m", "9 cm"), ("9 cm", "9 cm^2"), ("cm", "9 cm"),
        ("900 cm", "9 m"), ("$5", "5 €"), ("5 thousand", "5"), ("5 maybe", "5"), ("8 cm", "9"),
        (r"12\text{ or } 15", "12"), (r"12\text{ and } 15", "12"), ("30°C", "30°F"),
    ],
    "expressions and equations": [
        ("2y", "2x"), ("x=5", "y=5"), ("y=2x-1", "y=2x+1"), ("b-a", "a-b"), ("3-4", "2-3"),
        (r"\sqrt{6}", r"\sqrt{5}"), ("no", "on"), ("x", "y"), ("y = x = 5", "5"),
        ("3 + * x", "3 + x"),
    ],
    "tuples, sets and lists": [
        ("(1,3)", "(3,1)"), ("(3,1,0)", "(3,1)"), ("4,3", "3,4"), ("(3,4]", "[3,4]"),
        ("(1,2)", r"\{1,2\}"), (r"\{1\}", r"\{1,5\}"), (r"\{1,5,6\}", r"\{1,5\}"),
        ("(3,)", "(3,1)"),
        ("3", "(3,1)"), ("(1,234)", "1234"), ("5, 6", "5"),
    ],
    "times, ratios and words": [
        ("3:20", "3/20"), ("3/20", "3:20"), ("3:02", "3:20"), ("3:2", "2:3"), ("yes no", "yes"),
        ("not yes", "yes"), ("yesterday", "yes"), ("yes or no", "yes"), ("the", "the picture"),
    ],
}  # fmt: skip


def boxed(answer: str) -> str:
    return f"<think>some thought</think>The answer is \\boxed{{{answer}}}."


def cases(table: dict[str, list[tuple[str, str]]]) -> list[object]:
    return [
        pytest.param(answer, gold, id=f"{kind}: {answer[:30]!r} for {gold[:30]!r}")
        for kind, pairs in table.items()
        for answer, gold in pairs
    ]


@pytest.mark.parametrize(("answer", "gold"), cases(PAYS))
def test_the_same_value_pays(answer: str, gold: str) -> None:
    assert verify(boxed(answer), gold) == Verdict("correct", answer)


@pytest.mark.parametrize(("answer", "gold"), cases(DOES_NOT_PAY))
def test_another_value_does_not_pay(answer: str, gold: str) -> None:
    assert verify(boxed(answer), gold) == Verdict("wrong", answer)


def test_the_tables_hold_enough_cases() -> None:
    assert sum(len(pairs) for table in (PAYS, DOES_NOT_PAY) for pairs in table.values()) >= 150


PIECES = [
    r"\frac", r"\sqrt", r"\text", r"\boxed", r"\%", r"\circ", r"\{", "{", "}", "(", ")", "[", "]",
    ",", ".", "/", "^", "_", "$", "=", "+", "-", "1", "23", "x", "A", "or", "cm", ":", " ",
]  # fmt: skip


@given(
    st.lists(st.sampled_from(PIECES), max_size=14), st.lists(st.sampled_from(PIECES), max_size=8)
)
@settings(max_examples=120, deadline=None)
def test_no_sequence_of_markup_raises_and_equality_is_symmetric(a: list[str], b: list[str]) -> None:
    one, other = "".join(a), "".join(b)
    assert verify(boxed(one), other).reason in ("correct", "wrong", "no_answer", "timeout")
    same = read_off_or(equivalent)
    try:
        assert same(one, other) == same(other, one)
    except OverLimit:
        with pytest.raises(OverLimit):
            same(other, one)


@given(
    st.integers(), st.sampled_from(["{}", "${}$", r"\text{{{}}}", "{}.0", " {} ", "+{}", "{{{}}}"])
)
@settings(deadline=None)
def test_dressing_keeps_the_verdict_and_another_number_turns_it(n: int, dress: str) -> None:
    n = abs(n)
    assert verify(boxed(dress.format(n)), str(n)).correct
    assert not verify(boxed(dress.format(n + 1)), str(n)).correct
