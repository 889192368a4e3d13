r"""Whole answers: lists, sets, intervals, relations, matrices, and expressions inside of them.

Rules (docs/grading.md has them with examples): tuples and bare lists are ordered, sets and answers
joined by "or" are not; a bare list may stand for a set; x = v stands for v; relations count up to
rearranging and scaling; intervals are joined where they touch; ratios, clock times and numbers with
a base are compared as they are written.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from mssr_rl.grading.algebra import intervals
from mssr_rl.grading.algebra.identity import same_value, same_zeros
from mssr_rl.grading.algebra.parser import parse
from mssr_rl.grading.algebra.tree import Node, Unreadable, holds, symbols
from mssr_rl.grading.algebra.unit import split_unit
from mssr_rl.grading.quantities import OverLimit

MAX_MEMBERS = 24  # of a set: each is held against each
_SHAPES = ("group", "list", "set", "union", "without", "matrix", "relation", "literal", "row")
_LETTERS_OF_PRODUCTS = frozenset("abcxyz")


def equivalent(a: str, b: str) -> bool:
    """Do two texts say the same? `OverLimit` if that costs too much to find out."""
    try:
        one, other = _read(a), _read(b)
        if _is_word(one.text) and _is_word(other.text):
            return False
        if one.unit and other.unit and one.unit != other.unit:
            return False
        return _same(one.node, other.node)
    except Unreadable:
        return False
    except RecursionError as error:
        raise OverLimit("too deep") from error


class _Read(NamedTuple):
    node: Node
    unit: str
    text: str  # without the unit


@lru_cache(maxsize=1024)
def _read(text: str) -> _Read:
    body, unit = split_unit(text)
    return _Read(_members(parse(body)), unit, body.strip(" .$"))


def _is_word(text: str) -> bool:
    """Letters alone: on and no are words, xy and yx are products."""
    return text.isalpha() and len(text) > 1 and not _LETTERS_OF_PRODUCTS.issuperset(text)


def _members(node: Node) -> Node:
    """Plus-minus spelt out, and what is joined by "or" as a set."""
    if node.kind == "relation" and node.name == "=" and holds(node.parts[1], "plus_minus"):
        left, right = node.parts
        return Node("set", "", tuple(_equal(left, value) for value in _both(right)))
    if holds(node, "plus_minus") and node.kind not in _SHAPES:
        return Node("set", "", _both(node))
    if node.kind not in ("list", "set"):
        return node
    parts: list[Node] = []
    for part in node.parts:
        spelt = _members(part)
        spread = spelt.kind == "set" and part.kind != "set"  # a plus-minus, not a set in a set
        parts += spelt.parts if spread else (spelt,)
    is_set = node.name == "or" or len(parts) > len(node.parts)
    return Node("set" if is_set else node.kind, node.value, tuple(parts))


def _equal(left: Node, right: Node) -> Node:
    return Node("relation", "=", (left, right))


def _both(node: Node) -> tuple[Node, Node]:
    return _signed(node, 1), _signed(node, -1)


def _signed(node: Node, sign: int) -> Node:
    parts = tuple(_signed(part, sign) for part in node.parts)
    if node.kind != "plus_minus":
        return node._replace(parts=parts)
    minus = (sign < 0) != (node.name == "-")
    last = Node("negative", "", (parts[-1],)) if minus else parts[-1]
    return Node("sum", "", (parts[0], last)) if len(parts) > 1 else last


def _same(a: Node, b: Node) -> bool:
    if a.kind == "relation" and b.kind == "relation":
        return _same_relation(a, b)
    a, b = _value_of(a, b), _value_of(b, a)
    if "set" in (a.kind, b.kind):
        return _same_set(a, b)
    if intervals.is_union(a) or intervals.is_union(b):
        return intervals.same(a, b)
    if a.kind in _SHAPES or b.kind in _SHAPES:
        return a.kind == b.kind and _same_shape(a, b)
    return same_value(a, b)


def _same_shape(a: Node, b: Node) -> bool:
    if a.kind == "list":
        return _same_list(a, b)
    bracketed = a.kind in ("group", "literal")
    return (not bracketed or a.value == b.value) and _in_order(a.parts, b.parts)


def _in_order(a: Sequence[Node], b: Sequence[Node]) -> bool:
    return len(a) == len(b) and all(map(_same, a, b))


def _value_of(a: Node, other: Node) -> Node:
    """X = v and x in S are v and S, and inequalities intervals, if the other side is a value."""
    if other.kind == "relation":
        return a
    is_pair = other.kind == "group" and len(other.parts) == 2
    if is_pair or intervals.is_union(other):
        return intervals.of_inequalities(a) or _right_side(a)
    return _right_side(a)


def _right_side(a: Node) -> Node:
    """V of x = v, and of x = u = v where u and v are the same."""
    if a.kind != "relation":
        return a
    head, *values = a.parts
    if a.name == "in":
        return values[0]
    if set(a.name.split()) != {"="} or not all(_is_head(head, value) for value in values):
        return a
    return values[-1] if all(_same(values[0], value) for value in values[1:]) else a


def _is_head(left: Node, right: Node) -> bool:
    """A letter, f(x), f^{-1}(x), a tuple of letters or a segment AB that the right does not use."""
    names = [left] if left.kind == "symbol" else list(left.parts)
    if left.kind == "product" and len(names) == 2 and names[0].kind == "power":
        names[0] = names[0].parts[0]  # the inverse of f
    if not names or any(part.kind != "symbol" for part in names):
        return False
    if left.kind in ("group", "symbol") or all(part.name.isupper() for part in names):
        return not symbols(left) & symbols(right)
    function = left.kind == "product" and len(names) == 2 and names[0].name[0] in "fghFGHPQpq"
    return function and names[0].name not in symbols(right)


def _same_set(a: Node, b: Node) -> bool:
    """In any order; a bare list may stand for a set, nothing else."""
    if {a.kind, b.kind} - {"set", "list"}:
        single, other = (a, b) if a.kind == "set" else (b, a)
        return len(single.parts) == 1 and single.value == "or" and _same(single.parts[0], other)
    if max(len(a.parts), len(b.parts)) > MAX_MEMBERS:
        raise OverLimit("a long set")
    if "list" in (a.kind, b.kind) and (_is_system(a) or _is_system(b)):
        return False  # x = 2 or y = 3 does not say x = 2 and y = 3
    return _covers(a.parts, b.parts) and _covers(b.parts, a.parts)


def _is_system(node: Node) -> bool:
    """Relations about different letters."""
    letters = {symbols(part) for part in node.parts if part.kind == "relation"}
    return len(letters) > 1


def _covers(a: Sequence[Node], b: Sequence[Node]) -> bool:
    return all(any(_same(x, y) for y in b) for x in a)


def _same_list(a: Node, b: Node) -> bool:
    """In order, but a system of equations in any order."""
    if a.name != b.name and "and" not in (a.name, b.name):
        return False
    if all(part.kind == "relation" for part in (*a.parts, *b.parts)):
        fits = len(a.parts) == len(b.parts) <= MAX_MEMBERS
        return fits and _covers(a.parts, b.parts) and _covers(b.parts, a.parts)
    return _in_order(a.parts, b.parts)


def _same_relation(a: Node, b: Node) -> bool:
    a, b = _ascending(a), _ascending(b)
    if a.name == b.name == "in":
        return all(map(_same, a.parts, b.parts))
    if "in" in (a.name, b.name):
        return _same_solutions(a, b)
    if a.name != b.name:
        return False
    if len(a.parts) > 2:
        return _in_order(a.parts, b.parts)
    if any(part.kind in _SHAPES for part in (*a.parts, *b.parts)):
        return _in_order(a.parts, b.parts)
    one, other = (_difference(*node.parts) for node in (a, b))
    return same_zeros(one, other, positive=a.name in ("<", "<="))


def _same_solutions(a: Node, b: Node) -> bool:
    """X in (1, 3) and 1 < x < 3."""
    member, relation = (a, b) if a.name == "in" else (b, a)
    found = intervals.of_inequality(relation)
    if found is None or member.parts[0].kind != "symbol":
        return False
    same_letter = symbols(relation) == symbols(member.parts[0])
    return same_letter and intervals.same(found, member.parts[1])


def _ascending(node: Node) -> Node:
    """With < and <= only, if all signs point one way."""
    signs = node.name.split()
    if signs and all(sign in (">", ">=") for sign in signs):
        turned = " ".join(sign.replace(">", "<") for sign in reversed(signs))
        return Node("relation", turned, node.parts[::-1])
    return node


def _difference(left: Node, right: Node) -> Node:
    return Node("sum", "", (left, Node("negative", "", (right,))))
