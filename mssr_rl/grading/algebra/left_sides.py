r"""Left sides that only name a value: x, f(2), |AB|, \tan\theta, Area.

A gold answer x = 5 counts as the value 5 only if its left side is a plain name. A response may name
the wanted value in its own words. A name may not use letters of the value. x + y = 5 names a sum,
but 2x = 6 is an equation that is still to be solved.
"""

from collections.abc import Callable, Mapping, Sequence

from mssr_rl.grading.algebra.tree import Node, equal, negative, number, symbols, walk

Head = Callable[[Node, Node], bool]
FUNCTION_NAMES = frozenset("fghFGHPQpqTSRNnVvuydDMm")
_FIGURES = ("triangle", "odot", "square", "parallelogram")
_TO_BE_SOLVED = ("root", "exp", "factorial")  # sqrt x = 3 is an equation
_VALUES = ("number", "constant")
_NAMED = ("symbol", "product", "quotient", "sum", "negative", "power", "group", "call", "literal")


def gold_of(left: Node, right: Node) -> bool:
    """Return whether `left` may be the name of the value `right` in a gold answer.

    It may be a letter, f(x), f^{-1}(x), a tuple of letters, words, or a segment AB. None of its
    letters may occur in `right`.
    """
    if left.kind == "name" or _is_derivative(left):
        return True
    if function := _function(left):
        return function not in symbols(right)
    if symbols(left) & symbols(right):
        return False
    if left.kind in _SIMPLE:
        return _SIMPLE[left.kind](left)
    return _is_segment(left) or (_is_measure(left) and not symbols(right))


def _function(left: Node) -> str | None:
    """Return the name f for f(x) and f^{-1}(x); None for anything else."""
    if left.kind != "product" or len(left.parts) != 2 or _is_segment(left):
        return None
    function, letter = left.parts
    if function.kind == "power":
        function = function.parts[0]
    named = function.kind == letter.kind == "symbol" and function.name[0] in FUNCTION_NAMES
    return function.name if named else None


def _is_derivative(left: Node) -> bool:
    """Return whether a node is dy/dx."""
    halves = left.parts if left.kind == "quotient" else ()
    return bool(halves) and all(
        half.kind == "product" and half.parts[0] == Node("symbol", "d") for half in halves
    )


def _is_segment(left: Node) -> bool:
    """Return whether a node is a segment AB or a product of segments, with only capital letters."""
    letters = left.parts
    return left.kind == "product" and all(p.kind == "symbol" and p.name.isupper() for p in letters)


def _is_measure(left: Node) -> bool:
    r"""Return whether a node is a wanted quantity: |AB|, AB/CD, \sin A, \tan\theta, f(2)."""
    letters = symbols(left)
    if not letters or _numbers(left) or left.kind not in ("call", "quotient", "product"):
        return False
    if _is_call(left):
        return not symbols(left.parts[1])
    return all(name.isupper() or len(name.split("_")[0]) > 1 for name in letters)


def said_of(left: Node, right: Node) -> bool:
    """Return whether `left` may be the name of the value `right` in a response's answer.

    It may be everything that `gold_of` allows, and also |AB|, f(2), d(A, B), a function of letters,
    or an expression with letters only.
    """
    if gold_of(left, right):
        return True
    if left.kind == "group" or symbols(right) or not symbols(left):
        return False
    if (left.kind == "call" and left.name not in _TO_BE_SOLVED) or _is_call(left):
        return True
    if any(part.kind not in (*_NAMED, "number") for part in walk(left)):
        return False
    several = len(symbols(left)) > 1 or (left.kind == "sum" and all(map(_is_call, left.parts)))
    return several and not _numbers(left)


def in_the_same_order(said: Node, gold: Node) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """Return the sides of both relations, with the first in the order of the gold answer.

    For example, (y, x) = (2, 1) becomes (x, y) = (1, 2) if the gold answer names (x, y).
    """
    left, right = said.parts
    target = gold.parts[0]
    fits = (left.kind, right.kind, target.kind) == ("group",) * 3
    if (
        not fits
        or sorted(left.parts) != sorted(target.parts)
        or len(right.parts) != len(left.parts)
    ):
        return said.parts, gold.parts
    order = [left.parts.index(part) for part in target.parts]
    turned = right._replace(parts=tuple(right.parts[i] for i in order))
    return equal(target, turned).parts, gold.parts


def named_in_order(relation: Node) -> Node:
    """Return (y, x) = (2, 1) as (x, y) = (1, 2); any other node is returned unchanged."""
    if [part.kind for part in relation.parts] != ["group", "group"]:
        return relation
    names, values = relation.parts
    ordered = tuple(sorted(names.parts, key=_usual))
    target = relation._replace(parts=(names._replace(parts=ordered), values))
    fits = names.value == "()" and in_usual_order(ordered)
    return Node("relation", "=", in_the_same_order(relation, target)[0]) if fits else relation


def is_named_point(node: Node) -> bool:
    """Return whether a node is a point with its name: P(2, 3)."""
    if node.kind != "product" or [part.kind for part in node.parts] != ["symbol", "group"]:
        return False
    return node.parts[0].name[0].isupper() and node.parts[1].value == "()"


def in_usual_order(names: Sequence[Node]) -> bool:
    """Return whether the names are in their usual order: (x, y), (a, b), (x, y, z)."""
    letters = [part.name for part in names if part.kind == "symbol"]
    if len(letters) != len(names) or len(set(letters)) != len(letters):
        return False
    return list(names) == sorted(names, key=_usual)


def _usual(name: Node) -> tuple[bool, str]:
    return len(name.name.split("_")[0]) > 1, name.name


def _is_call(node: Node) -> bool:
    """Return whether a node is a function call such as f(2), f'(0), d(A, B) or f(g(2))."""
    if node.kind != "product" or len(node.parts) != 2:
        return False
    function, argument = node.parts
    if function.kind == "power" and function.parts[1] == negative(number(1)):
        function = function.parts[0]  # f^{-1}(2)
    named = function.kind == "symbol" and function.name[0] in FUNCTION_NAMES
    return named and argument.kind != "symbol"


def _numbers(node: Node) -> bool:
    """Return whether a node has a number outside of exponents and function arguments."""
    if node.kind == "power":
        return _numbers(node.parts[0])
    if _is_call(node):
        return False
    return node.kind in _VALUES or any(map(_numbers, node.parts))


_SIMPLE: Mapping[str, Callable[[Node], bool]] = {
    "symbol": lambda left: not left.name.startswith(_FIGURES),  # a triangle is not five
    "group": lambda left: left.value == "()" and in_usual_order(left.parts),
    "literal": lambda left: not _numbers(left),  # S : T = 7 : 32
}
