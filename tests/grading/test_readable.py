"""Which gold answers can be read: values, options and short texts; nothing takes long or raises."""

import time

import pytest

from mssr_rl.grading.readable import parseable

READ = [
    "12", "C. 12", "B", "yes", "isosceles triangle", "x=5", "5 cm", r"\frac{360}7", "69{degrees}",
    r"\begin{cases} x=2 \\ y=3 \end{cases}", r"62^\circ", "3:20", "[1;6)", "12 or 15",
    r"\sum_{k=1}^{4} k^3", r"Area $=9 \pi \mathrm{cm}^{2}$", r"3:45\text{ p.m.}", r"\{x \mid x>1\}",
]  # fmt: skip
NOT_READ = [
    "", "@@", r"\unknownmacro{3}", r"\frac{1}{2", r"\int_0^1 x\,dx", r"\overline{AB} \parallel l",
    "The triangle is isosceles because two of its sides are equal", "(" * 5000, "9" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("gold", READ)
def test_a_value_or_a_short_text_can_be_read(gold: str) -> None:
    assert parseable(gold)


@pytest.mark.parametrize("gold", NOT_READ)
def test_broken_and_unknown_notation_and_sentences_cannot(gold: str) -> None:
    assert not parseable(gold)


def test_an_option_can_be_read_whatever_it_is() -> None:
    assert parseable("The picture is @@", ["The picture is @@", "5"])


@pytest.mark.parametrize("piece", ["A. ", "(A) ", "(", "{", r"\frac{", "1,", "3:", "x=", "9^{"])
def test_no_gold_answer_takes_long_or_raises(piece: str) -> None:
    started = time.process_time()
    parseable((piece * 4096)[:4096])
    assert time.process_time() - started < 1
