"""The whitelisted syntax tree of an answer: what `parser` makes and `compare` reads."""

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple


class Unreadable(Exception):
    """The text is no mathematics that the parser knows; the message says what it stopped at."""


class Node(NamedTuple):
    """One operation and its operands.

    value   number (value: a Fraction), symbol (its name), constant (pi, e, i, infinity)
    maths   sum, product, quotient, power, negative, call (value: the function's name)
            angle (an amount of degrees), plus_minus (a, b; value "" or "-" for minus-plus)
    shapes  group (value: its two brackets), list (value: what stands between: , or and), set,
            union, without, matrix (parts are rows), relation (value: = < <= != in),
            literal (compared as it is written: a ratio, a number with a base)
    """

    kind: str
    value: str | Fraction = ""
    parts: tuple["Node", ...] = ()

    @property
    def name(self) -> str:
        """The value where it is text."""
        return str(self.value)


def number(value: Fraction | int) -> Node:
    """A rational number."""
    return Node("number", Fraction(value))


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it."""
    yield node
    for part in node.parts:
        yield from walk(part)


def symbols(node: Node) -> frozenset[str]:
    """The names of the letters in it."""
    return frozenset(part.name for part in walk(node) if part.kind == "symbol")


def holds(node: Node, *kinds: str) -> bool:
    """Is there a node of one of the kinds in it?"""
    return any(part.kind in kinds for part in walk(node))
