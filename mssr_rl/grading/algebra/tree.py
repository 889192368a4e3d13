"""The syntax tree of an answer, with a fixed list of node kinds.

`parser` builds the tree, and `compare` compares two trees.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple


class Unreadable(Exception):
    """Raised if the parser does not support a notation. The message says where it stopped."""


class Node(NamedTuple):
    """One operation and its operands.

    value   number (value: a Fraction), symbol (its name), constant (pi, e, i, infinity),
            basis (i, j or k: a unit vector), indexed (value: the name, part: the index)
    maths   sum, product, quotient, power, negative, call (value: the function's name)
            angle (an amount of degrees), plus_minus (a, b; value "" or "-" for minus-plus)
            big (value: sum or prod; parts: bound letter, from, to, term)
            piecewise (parts: rows of a value and its condition; the relation "always" for others)
    shapes  group (value: its two brackets), list (value: what stands between: , or and), set,
            union, cap, without, matrix (parts are rows), relation (value: = < <= != in approx ==),
            builder (a set by its members and the condition on them), domain (value: Z, N, Q, C)
            literal (compared as it is written: a ratio, a number with a base)
            modulo (a value or relation, and the modulus), name (words that stand for a value)
            ellipsis
    """

    kind: str
    value: str | Fraction = ""
    parts: tuple["Node", ...] = ()

    @property
    def name(self) -> str:
        """The node's value as text."""
        return str(self.value)


ALWAYS = Node("relation", "always")
INFINITY = Node("constant", "infinity")
_TURNED = {">": "<", ">=": "<="}
REALS = Node("group", "()", (Node("negative", "", (INFINITY,)), INFINITY))


def number(value: Fraction | int) -> Node:
    """Return a node for a rational number."""
    return Node("number", Fraction(value))


def negative(node: Node) -> Node:
    """Return the node -node."""
    return Node("negative", "", (node,))


def difference(left: Node, right: Node) -> Node:
    """Return the node left - right."""
    return Node("sum", "", (left, negative(right)))


def equal(left: Node, right: Node) -> Node:
    """Return the node left = right."""
    return Node("relation", "=", (left, right))


def ascending(node: Node) -> Node:
    """Return a relation with < and <= in place of > and >=, if all its signs are > or >=.

    Any other relation is returned unchanged.
    """
    signs = node.name.split()
    if signs and all(sign in _TURNED for sign in signs):
        turned = " ".join(_TURNED[sign] for sign in reversed(signs))
        return Node("relation", turned, node.parts[::-1])
    return node


def in_radians(node: Node) -> Node | None:
    """Return an angle in degrees as a node in radians; None for any other node."""
    if node.kind != "angle":
        return None
    return Node("product", "", (node.parts[0], Node("constant", "pi"), number(Fraction(1, 180))))


def walk(node: Node) -> Iterator[Node]:
    """Yield the node and all nodes below it."""
    waiting = [node]
    while waiting:
        part = waiting.pop()
        yield part
        waiting.extend(part.parts[::-1])


def symbols(node: Node) -> frozenset[str]:
    """Return the names of the letters in a node that are not bound by a sum or product."""
    names: set[str] = set()
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if part.kind == "symbol":
            names.add(part.name)
        elif part.kind == "big":
            bound, low, high, term = part.parts
            names |= symbols(low) | symbols(high) | (symbols(term) - symbols(bound))
        else:
            waiting.extend(part.parts)
    return frozenset(names)


def holds(node: Node, *kinds: str) -> bool:
    """Return whether a tree contains a node of one of these kinds."""
    return any(part.kind in kinds for part in walk(node))


def marks(node: Node) -> frozenset[str]:
    """Return the kinds of all nodes in a tree, and the names of its functions and constants."""
    return frozenset(
        part.name if part.kind in ("call", "constant", "basis") else part.kind
        for part in walk(node)
    )


def replaced(node: Node, by: Callable[[Node], Node | None]) -> Node:
    """Return the tree with each node replaced by `by(node)`, unless that is None."""
    other = by(node)
    if other is not None:
        return other
    return node._replace(parts=tuple(replaced(part, by) for part in node.parts))
