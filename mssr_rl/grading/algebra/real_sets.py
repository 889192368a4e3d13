r"""Intervals of real numbers and their unions: (-\infty, 2) \cup (2, 5], x < 3, \mathbb{R}.

`compare` uses this module to compare sets of numbers. A pair in round brackets alone is a point. It
is an interval only in a union, or if the other answer must be one.
"""

from functools import cmp_to_key
from typing import NamedTuple

from mssr_rl.grading.algebra.identity import compare_constants
from mssr_rl.grading.algebra.tree import INFINITY, REALS, Node, Unreadable, holds, negative, symbols

_MINUS_INFINITY = negative(INFINITY)
_TURNED = {">": "<", ">=": "<="}


class RealInterval(NamedTuple):
    """The two ends of an interval, and whether each end belongs to the interval."""

    low: Node
    high: Node
    has_low: bool
    has_high: bool


def is_union(node: Node) -> bool:
    """Return whether a node can only be intervals: (1, 3) could be a point, and [1, 3] a row."""
    if node.kind in ("union", "cap", "without"):
        return True
    return (
        node.kind == "group"
        and len(node.parts) == 2
        and (node.value in ("[)", "(]") or _is_infinite(node.parts[0], node.parts[1]))
    )


def same(a: Node, b: Node) -> bool:
    """Return whether two nodes are the same set of real numbers."""
    one, other = _merged(_pieces(a)), _merged(_pieces(b))
    if len(one) != len(other):
        return False
    return all(
        (x.has_low, x.has_high) == (y.has_low, y.has_high)
        and compare_constants(x.low, y.low) == 0
        and compare_constants(x.high, y.high) == 0
        for x, y in zip(one, other, strict=True)
    )


def of_conditions(node: Node) -> Node | None:
    """Return the numbers that satisfy conditions on one letter; None for anything else.

    Accepted are x < 3; 1 < x <= 3; x != 2; x in S; {x | x > 1}; and several of them, joined by
    commas, "and" or "or".
    """
    if node.kind == "builder":
        return _of_builder(node)
    if node.kind == "relation":
        return _of_relation(node)
    joined = node.kind == "list" or (node.kind == "set" and node.name == "or")
    if not joined or len(node.parts) < 2 or any(p.kind != "relation" for p in node.parts):
        return None
    # Conditions on different letters are a system, not one set.
    if len({symbols(part) for part in node.parts}) > 1:
        return None
    sets = [_of_relation(part) for part in node.parts]
    kind = "union" if node.name == "or" else "cap"
    whole = sets[0]
    for piece in sets[1:]:
        if whole is None or piece is None:
            return None
        whole = Node(kind, "", (whole, piece))
    return whole


def _of_builder(node: Node) -> Node | None:
    """Return the set {x | x > 1} or {x in R | x > 1}; the condition must be about x."""
    head, condition = node.parts
    if head.kind == "relation" and head.name == "in" and head.parts[1] == REALS:
        head = head.parts[0]
    numbers = of_conditions(condition)
    if head.kind != "symbol" or numbers is None or symbols(condition) != {head.name}:
        return None
    return numbers


def _of_relation(relation: Node) -> Node | None:
    """Return the numbers that satisfy x < 3, 1 < x <= 3, x != 3 or x in S, or None."""
    if relation.name == "in" and relation.parts[0].kind == "symbol":
        return relation.parts[1] if not symbols(relation.parts[1]) else None
    if relation.name == "!=":
        return _all_but(relation)
    signs, parts = relation.name.split(), relation.parts
    if signs and all(sign in _TURNED for sign in signs):
        signs, parts = [_TURNED[sign] for sign in reversed(signs)], parts[::-1]
    if not all(sign in ("<", "<=") for sign in signs):
        return None
    if len(parts) == 2:
        if parts[0].kind == "symbol":
            parts, signs = (_MINUS_INFINITY, *parts), ["<", *signs]
        else:
            parts, signs = (*parts, INFINITY), [*signs, "<"]
    if len(parts) != 3 or parts[1].kind != "symbol" or symbols(parts[0]) | symbols(parts[2]):
        return None
    brackets = ("[" if signs[0] == "<=" else "(") + ("]" if signs[1] == "<=" else ")")
    return Node("group", brackets, (parts[0], parts[2]))


def _all_but(relation: Node) -> Node | None:
    """Return the set of all real numbers but one, for x != 2; None for anything else."""
    left, right = relation.parts
    if left.kind != "symbol" or symbols(right) or holds(right, "plus_minus"):
        return None
    return Node("without", "", (REALS, Node("set", "", (right,))))


def _is_infinite(*ends: Node) -> bool:
    return any(end in (INFINITY, _MINUS_INFINITY) for end in ends)


def _pieces(node: Node) -> list[RealInterval]:
    if node.kind == "union":
        return [*_pieces(node.parts[0]), *_pieces(node.parts[1])]
    if node.kind == "cap":
        return _common(_pieces(node.parts[0]), _pieces(node.parts[1]))
    if node.kind == "without":
        return _without(_pieces(node.parts[0]), node.parts[1])
    if node.kind == "set":
        return [RealInterval(part, part, True, True) for part in node.parts if _constant(part)]
    if node.kind != "group" or len(node.parts) != 2 or not all(map(_constant, node.parts)):
        raise Unreadable("no interval")
    low, high = node.parts
    # ]0, 1[ is another way to write (0, 1).
    brackets = node.name.replace("](", "()").replace("][", "()")
    if compare_constants(low, high) >= 0:
        raise Unreadable("an interval without numbers")
    return [RealInterval(low, high, brackets[0] == "[", brackets[1] == "]")]


def _constant(node: Node) -> bool:
    if symbols(node) or holds(node, "group", "list", "set", "relation", "literal"):
        raise Unreadable("an end that is not a number")
    return True


def _without(pieces: list[RealInterval], taken: Node) -> list[RealInterval]:
    if taken.kind != "set":
        raise Unreadable("intervals without something that is not a set")
    for point in taken.parts:
        pieces = [part for piece in pieces for part in _cut(piece, point)]
    return pieces


def _cut(piece: RealInterval, point: Node) -> list[RealInterval]:
    low, high = compare_constants(piece.low, point), compare_constants(point, piece.high)
    if low > 0 or high > 0:
        return [piece]
    if low == 0 or high == 0:
        has_low, has_high = piece.has_low and low != 0, piece.has_high and high != 0
        return [piece._replace(has_low=has_low, has_high=has_high)]
    return [piece._replace(high=point, has_high=False), piece._replace(low=point, has_low=False)]


def _common(one: list[RealInterval], other: list[RealInterval]) -> list[RealInterval]:
    """Return the intersection of two unions of intervals."""
    overlaps = [_overlap(a, b) for a in one for b in other]
    return [piece for piece in overlaps if piece is not None]


def _overlap(a: RealInterval, b: RealInterval) -> RealInterval | None:
    low, high = compare_constants(a.low, b.low), compare_constants(a.high, b.high)
    starts, ends = (a if low >= 0 else b), (a if high <= 0 else b)
    has_low = starts.has_low if low else a.has_low and b.has_low
    has_high = ends.has_high if high else a.has_high and b.has_high
    order = compare_constants(starts.low, ends.high)
    if order > 0 or (order == 0 and not (has_low and has_high)):
        return None
    return RealInterval(starts.low, ends.high, has_low, has_high)


def _merged(pieces: list[RealInterval]) -> list[RealInterval]:
    """Return the intervals in ascending order, joined where they overlap or touch.

    Two that touch are joined if the number between them belongs to one of them.
    """
    ordered = sorted(pieces, key=cmp_to_key(_before))
    merged: list[RealInterval] = []
    for piece in ordered:
        if merged and _joins(merged[-1], piece):
            merged[-1] = _joined(merged[-1], piece)
        else:
            merged.append(piece)
    return merged


def _before(a: RealInterval, b: RealInterval) -> int:
    # Of two that start at one number the closed one comes first: the joined piece keeps its start.
    return compare_constants(a.low, b.low) or (b.has_low - a.has_low)


def _joins(a: RealInterval, b: RealInterval) -> bool:
    order = compare_constants(b.low, a.high)
    return order < 0 or (order == 0 and (a.has_high or b.has_low))


def _joined(a: RealInterval, b: RealInterval) -> RealInterval:
    order = compare_constants(b.high, a.high)
    if order > 0:
        return a._replace(high=b.high, has_high=b.has_high)
    return a._replace(has_high=a.has_high or (order == 0 and b.has_high))
