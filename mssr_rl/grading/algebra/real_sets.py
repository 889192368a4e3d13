r"""Intervals of real numbers and their unions: (-\infty, 2) \cup (2, 5], x < 3, \mathbb{R}.

`compare` uses this module to compare sets of numbers. A pair in round brackets alone is a point. It
is an interval only in a union, or if the other answer must be one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from mssr_rl.grading.algebra.identity import compare_constants
from mssr_rl.grading.algebra.left_sides import FUNCTION_NAMES
from mssr_rl.grading.algebra.tree import (
    INFINITY,
    REALS,
    Node,
    Unreadable,
    ascending,
    holds,
    negative,
    symbols,
)

_MINUS_INFINITY = negative(INFINITY)
_INEQUALITIES = frozenset({"<", "<=", ">", ">=", "!="})


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
    ends: list[Node] = []
    for end in (*_ends(a), *_ends(b)):
        _insert(end, ends)
    return _cells(a, ends) == _cells(b, ends)


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
        numbers = relation.parts[1]
        return None if symbols(numbers) or numbers.kind == "domain" else numbers
    if relation.name == "!=":
        return _all_but(relation)
    relation = ascending(relation)
    signs, parts = relation.name.split(), relation.parts
    if not all(sign in ("<", "<=") for sign in signs):
        return None
    if len(parts) == 2:
        if _is_letter(parts[0]):
            parts, signs = (_MINUS_INFINITY, *parts), ["<", *signs]
        else:
            parts, signs = (*parts, INFINITY), [*signs, "<"]
    if len(parts) != 3 or not _is_letter(parts[1]) or symbols(parts[0]) | symbols(parts[2]):
        return None
    brackets = ("[" if signs[0] == "<=" else "(") + ("]" if signs[1] == "<=" else ")")
    return Node("group", brackets, (parts[0], parts[2]))


def _is_letter(node: Node) -> bool:
    """Return whether a node is x or f(x)."""
    value = node.kind == "product" and [part.kind for part in node.parts] == ["symbol", "symbol"]
    return node.kind == "symbol" or (value and node.parts[0].name in FUNCTION_NAMES)


def as_builder(relation: Node) -> Node | None:
    """Return {x | condition} for an inequality in one letter, such as |x| > 2, or None."""
    signs = relation.name.split()
    if relation.kind != "relation" or not signs or not _INEQUALITIES.issuperset(signs):
        return None
    letters = [Node("symbol", name) for name in symbols(relation)]
    return Node("builder", "", (letters[0], relation)) if len(letters) == 1 else None


def _all_but(relation: Node) -> Node | None:
    """Return the set of all real numbers but one, for x != 2; None for anything else."""
    left, right = relation.parts
    if left.kind != "symbol" or symbols(right) or holds(right, "plus_minus"):
        return None
    return Node("without", "", (REALS, Node("set", "", (right,))))


def _is_infinite(*ends: Node) -> bool:
    return any(end in (INFINITY, _MINUS_INFINITY) for end in ends)


def _ends(node: Node) -> Iterator[Node]:
    """Yield the numbers at which pieces of a set begin or end."""
    node = of_conditions(node) or node
    if node.kind in _OPERATIONS:
        for part in node.parts:
            yield from _ends(part)
    elif node.kind == "set" or (node.kind == "group" and len(node.parts) == 2):
        for end in node.parts:
            if symbols(end) or holds(end, "group", "list", "set", "relation", "literal"):
                raise Unreadable("an end that is not a number")
            if not _is_infinite(end):
                yield end
    else:
        raise Unreadable("no interval")


def _insert(end: Node, ends: list[Node]) -> None:
    """Insert a number into an ascending list, unless the list has it."""
    place = _place(end, ends)
    if place == len(ends) or compare_constants(end, ends[place]):
        ends.insert(place, end)


def _place(end: Node, ends: Sequence[Node]) -> int:
    """Return the index of the first number of an ascending list that is not below `end`."""
    return next(
        (i for i, other in enumerate(ends) if compare_constants(end, other) <= 0), len(ends)
    )


def _cells(node: Node, ends: Sequence[Node]) -> frozenset[int]:
    """Return the parts of the number line that a set consists of.

    `ends` cut the line. The number ends[i] has index 2i + 1, the open interval below it 2i.
    """
    node = of_conditions(node) or node
    if node.kind in _OPERATIONS:
        one, other = (_cells(part, ends) for part in node.parts)
        return _OPERATIONS[node.kind](one, other)
    if node.kind == "set":
        return frozenset(2 * _place(part, ends) + 1 for part in node.parts)
    low, high = (_index(end, ends) for end in node.parts)
    if low >= high:
        raise Unreadable("an interval without numbers")
    # ]0, 1[ is another way to write (0, 1).
    brackets = node.name.replace("](", "()").replace("][", "()")
    return frozenset(range(low + (brackets[0] != "["), high + (brackets[1] == "]")))


def _index(end: Node, ends: Sequence[Node]) -> int:
    if _is_infinite(end):
        return 2 * len(ends) + 1 if end == INFINITY else -1
    return 2 * _place(end, ends) + 1


_OPERATIONS: Mapping[str, Callable[[frozenset[int], frozenset[int]], frozenset[int]]] = {
    "union": frozenset.union,
    "cap": frozenset.intersection,
    "without": frozenset.difference,
}
