r"""Separate an expression from its unit: 9\pi\text{ cm}^2, 3\sqrt{5}\,\mathrm{m}, 2\pi 厘米.

A single letter is a unit only inside \text or \mathrm: otherwise the h in 2\pi h is a height.
`quantities` reads plain numbers with units.
"""

import re
from typing import NamedTuple

from mssr_rl.grading.latex import clean
from mssr_rl.grading.units import unit_name

_LONGEST = 90
_START = re.compile(
    r"\\(?:text|textrm|mathrm|mbox|operatorname)\s*\{"
    r"|(?<![A-Za-z\\{])(?:square |cubic |sq\.? ?)?[A-Za-z]{2,}|[€¥₹\u4e00-\u9fff]"
)
_MONEY = re.compile(r"\s*(?:\\?([$€£¥₹])(?=[^$]*$)|(USD|EUR|RMB|Rs)\b\.?)")


class ExpressionWithUnit(NamedTuple):
    """An expression and the name of its unit; the name is empty if it has none."""

    body: str
    unit: str


def split_unit(text: str) -> ExpressionWithUnit:
    """Return the text without its unit, and the name of the unit."""
    if money := _MONEY.match(text):
        return ExpressionWithUnit(text[money.end() :], unit_name(money[1] or money[2]) or "")
    for m in _START.finditer(text, max(0, len(text) - _LONGEST)):
        # A unit needs a value before it: cm alone is a text.
        if not text[: m.start()].strip(" $\\~"):
            continue
        unit = unit_name(clean(text[m.start() :].rstrip(" .$)")))
        if unit:
            return ExpressionWithUnit(text[: m.start()], unit)
    return ExpressionWithUnit(text, "")
