r"""What may stand left of a value and be no part of it: x, f(2), |AB|, \tan\theta, Area.

A gold answer x = 5 is the value 5 only behind a plain name; an answer may name what was asked for
in its own words. Neither may use the letters of the value, and x + y = 5 names a sum where
2x = 6 is an equation still to be solved.
"""

from collections.abc import Callable

from mssr_rl.grading.algebra.tree import Node, equal, symbols, walk

Head = Callable[[Node, Node], bool]
_FUNCTIONS = frozenset("fghFGHPQpqTSRNnVvuydDMm")
_FIGURES = ("triangle", "odot", "square", "parallelogram")
_VALUES = ("number", "constant")
_NAMED = ("symbol", "product", "quotient", "sum", "negative", "power", "group", "call")


def gold_of(left: Node, right: Node) -> bool:
    """A letter, f(x), f^{-1}(x), a tuple of letters, words, or a segment AB: none on the right."""
    if left.kind == "name":
        return True
    if left.kind == "symbol" and left.name.startswith(_FIGURES):
        return False  # a triangle is not five
    if left.kind == "group":
        return _in_usual_order(left) and not symbols(left) & symbols(right)
    letters = [left] if left.kind == "symbol" else list(left.parts)
    if left.kind == "product" and len(letters) == 2 and letters[0].kind == "power":
        letters[0] = letters[0].parts[0]  # the inverse of f
    if not letters or any(part.kind != "symbol" for part in letters):
        return False
    if left.kind == "symbol" or all(part.name.isupper() for part in letters):
        return not symbols(left) & symbols(right)
    return _is_function(left, letters) and letters[0].name not in symbols(right)


def said_of(left: Node, right: Node) -> bool:
    """Also |AB|, f(2), d(A, B), a function of letters, and what is made of letters alone."""
    if gold_of(left, right):
        return True
    if left.kind == "group" or symbols(right) or not symbols(left):
        return False
    if left.kind == "call":
        return True
    if left.kind == "product" and left.parts[0].kind == "symbol":
        named = left.parts[0].name
        if named in _FUNCTIONS and len(left.parts) == 2 and left.parts[1].kind != "symbol":
            return left.parts[1].kind in ("number", "negative", "group", "quotient", "constant")
    if any(part.kind not in (*_NAMED, "number") for part in walk(left)):
        return False
    return len(symbols(left)) > 1 and not _numbers(left)


def in_the_same_order(said: Node, gold: Node) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """The sides of two relations; (y, x) = (2, 1) turned to (x, y) = (1, 2) where gold has that."""
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


def _is_function(left: Node, letters: list[Node]) -> bool:
    return left.kind == "product" and len(letters) == 2 and letters[0].name[0] in _FUNCTIONS


def _in_usual_order(group: Node) -> bool:
    """(x, y), (a, b), (x, y, z): a reader takes it in this order without being told."""
    letters = [part.name for part in group.parts if part.kind == "symbol"]
    if len(letters) != len(group.parts) or group.value != "()":
        return False
    return letters == sorted(letters, key=lambda name: (len(name.split("_")[0]) > 1, name))


def _numbers(node: Node) -> bool:
    """Is there a number in it that is no exponent?"""
    if node.kind == "power":
        return _numbers(node.parts[0])
    return node.kind in _VALUES or any(map(_numbers, node.parts))
