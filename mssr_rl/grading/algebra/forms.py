"""Other forms of the same value: vectors, residues, constants of integration, degrees and radians.

`compare` uses these functions to find the forms that one tree may stand for beside another tree.
They do not decide whether two expressions are equal; `identity` does.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from itertools import pairwise

from mssr_rl.grading.algebra.exact import NotRational, Undefined
from mssr_rl.grading.algebra.identity import same_value, value_near
from mssr_rl.grading.algebra.left_sides import FUNCTION_NAMES, in_usual_order
from mssr_rl.grading.algebra.numeric import exact
from mssr_rl.grading.algebra.reading import EqualSides
from mssr_rl.grading.algebra.tree import (
    Node,
    difference,
    equal,
    holds,
    in_radians,
    negative,
    number,
    replaced,
    symbols,
    walk,
)
from mssr_rl.grading.answers import same_brackets

_I, _J = Node("constant", "i"), Node("symbol", "j")
_BASIS = ("i", "j", "k")
_COMPONENTS = {("group", "()"), ("group", "<>"), ("group", "[]"), ("call", "binomial")}
_POINTS = {"()", ",", "and"}
_VARIABLES = frozenset({"x", "y", "t", "u", "s", "z", "r", "theta", "w", "v"})
_CONSTANTS = frozenset("CcKkDdAaBbMm")


# --- vectors ------------------------------------------------------------------------------------


def as_vectors(said: Node, gold: Node) -> tuple[tuple[Node, ...], tuple[Node, ...]] | None:
    """Return the components of both, or None if they are not to be compared as vectors.

    If the gold answer is a column or <2, 3>, the response may write (2, 3), [2, 3] or 2i + 3j. It
    may not write a row of a matrix.
    """
    if _is_column(gold) or _is_vector(gold):
        parts = () if _is_row(said) else components(said, beside=gold)
    elif gold.kind == "group" and gold.value in ("()", "[]"):
        column = _is_column(said) or (gold.value == "()" and (_is_vector(said) or _is_row(said)))
        parts = components(said, beside=gold) if column else ()
    else:
        return None
    return (parts, components(gold)) if parts else None


def as_points(said: Node, gold: Node) -> tuple[tuple[Node, ...], tuple[Node, ...]] | None:
    """Return the coordinates of both, if one is (2, 3) and the other is x = 2, y = 3; else None.

    The bare list 2, 3 may also stand for a point, unless the pair could be an interval.
    """
    pair = {said.kind, gold.kind} == {"list", "group"} and {said.value, gold.value} <= _POINTS
    if not pair:
        return None
    said_in, gold_in = (n.name if n.kind == "group" else "" for n in (said, gold))
    bare = not any(part.kind == "relation" for n in (said, gold) for part in n.parts)
    if bare:
        point = _is_no_interval(gold.parts) and same_brackets(said_in, gold_in)
        return (said.parts, gold.parts) if point else None
    coordinates = [n.parts if n.kind == "group" else _coordinates(n) for n in (said, gold)]
    return (coordinates[0], coordinates[1]) if all(coordinates) else None


def _is_no_interval(parts: Sequence[Node]) -> bool:
    """Return whether the numbers cannot be an interval: not two, or two that do not ascend."""
    if len(parts) != 2 or any(map(symbols, parts)):
        return len(parts) != 2
    low, high = (value_near(part) for part in parts)
    return low is not None and high is not None and low >= high


def _coordinates(node: Node) -> tuple[Node, ...]:
    """Return the values 2 and 3 of x = 2, y = 3; () if the letters are not in their usual order."""
    if any(part.kind != "relation" or part.name != "=" for part in node.parts):
        return ()
    ordered = in_usual_order([part.parts[0] for part in node.parts])
    return tuple(part.parts[1] for part in node.parts) if ordered else ()


def are_values_of_one(parts: Sequence[Node], sign: str = "=") -> bool:
    """Return whether the parts are several values of one letter, as in n = 2, 3, 4."""
    if len(parts) < 2:
        return False
    first, *rest = parts
    named = first.kind == "relation" and first.name == sign and first.parts[0].kind == "symbol"
    return named and all(not symbols(part) for part in rest)


def each_excluded(node: Node) -> Node:
    """Return x != 2, x != 3 for the list x != 2, 3; any other node is returned unchanged."""
    if not are_values_of_one(node.parts, "!="):
        return node
    first, *values = node.parts
    others = [Node("relation", "!=", (first.parts[0], value)) for value in values]
    return Node("list", "and", (first, *others))


def components(node: Node, *, beside: Node | None = None) -> tuple[Node, ...]:
    """Return the components of a vector; () if the node is no vector.

    2i - j counts as a vector if `beside`, the other answer, is one.
    """
    if (node.kind, node.name) in _COMPONENTS:
        return node.parts
    if _is_column(node):
        return tuple(row.parts[0] for row in node.parts)
    if _is_row(node):
        return node.parts[0].parts
    if node.kind == "power" and node.parts[1] == Node("symbol", "T"):
        return components(node.parts[0])  # [1, 2]^T
    if not holds(node, "basis") and (beside is None or not _may_be_basis(node)):
        return ()
    return _of_basis(node, len(components(beside)) if beside else 0)


def _is_column(node: Node) -> bool:
    rows = node.parts
    return node.kind == "matrix" and len(rows) > 1 and all(len(row.parts) == 1 for row in rows)


def _is_row(node: Node) -> bool:
    return node.kind == "matrix" and len(node.parts) == 1 and len(node.parts[0].parts) > 1


def _is_vector(node: Node) -> bool:
    return holds(node, "basis") or (node.kind == "group" and node.value == "<>")


def _may_be_basis(node: Node) -> bool:
    return any(part in (_I, _J) for part in walk(node)) and node.kind in (
        "sum",
        "product",
        "negative",
    )


def _of_basis(node: Node, size: int) -> tuple[Node, ...]:
    """Return the coefficients of i, j, k in a sum of unit vectors.

    Each is found by setting its unit vector to 1 and the others to 0.
    """
    used = {name for name in _BASIS if _with_basis(node, name, 2) != _with_basis(node, name, 3)}
    size = max(size, 3 if "k" in used else 2)
    zero = node
    for name in _BASIS:
        zero = _with_basis(zero, name, 0)
    coefficients = []
    for one in _BASIS[:size]:
        alone = node
        for name in _BASIS:
            alone = _with_basis(alone, name, int(name == one))
        coefficients.append(difference(alone, zero))
    return tuple(coefficients)


def _with_basis(node: Node, name: str, value: int) -> Node:
    # Without bold or a hat, i was read as the imaginary unit, and j and k as letters.
    same = (Node("basis", name), Node("symbol", name), Node("constant", name))
    return replaced(node, lambda part: number(value) if part in same else None)


# --- residues -----------------------------------------------------------------------------------


def same_modulo(said: Node, gold: Node, same: Callable[[Node, Node], bool]) -> bool:
    """Return whether two answers are the same residue.

    The gold answer 3 (mod 7) accepts 3 and 10 (mod 7). The gold answer x = 3 (mod 7) accepts
    x = 7k + 3.
    """
    if gold.kind == "modulo" and said.kind not in ("modulo", "relation"):
        return gold.parts[0].kind != "relation" and same(said, gold.parts[0])
    one, other = _as_progression(said), _as_progression(gold)
    # The gold answer 3 (mod 7) has no name to compare.
    if other.kind == "relation" and (one.kind, one.parts[:1]) != ("relation", other.parts[:1]):
        return False
    values = [node.parts[-1] if node.kind == "relation" else node for node in (one, other)]
    return all(map(has_whole_number, values)) and same_progression(*values)


def _as_progression(node: Node) -> Node:
    """Return 3 + 7k for 3 (mod 7), x = 3 + 7k for x = 3 (mod 7); k is any whole number."""
    if node.kind != "modulo":
        free = symbols(node.parts[-1]) - symbols(node.parts[0]) if node.parts else frozenset()
        return _with_letter(node, free, _WHOLE) if len(free) == 1 else node
    value, modulus = node.parts
    if value.kind == "relation":
        start = _as_progression(Node("modulo", "", (value.parts[-1], modulus)))
        return equal(value.parts[0], start)
    return Node("sum", "", (value, Node("product", "", (modulus, _WHOLE))))


# --- any whole number ---------------------------------------------------------------------------

_WHOLE = Node("symbol", "any whole number")
_OF_WHOLE = frozenset("kmnl")  # letters that are whole numbers even if the answer does not say so


def with_whole_numbers(said: Node, gold: Node) -> tuple[Node, Node]:
    """Return both with one name for the letter that may be any whole number.

    One of the two must state it, as in x = 7k + 3, k in Z.
    """
    stated = [_stated_whole(node) for node in (said, gold)]
    if not any(stated):
        return said, gold
    named = []
    for node, letters in zip((said, gold), stated, strict=True):
        named.append(_with_letter(node, letters or _usual_whole(node), _WHOLE))
    return named[0], named[1]


def _stated_whole(node: Node) -> frozenset[str]:
    """Return the one letter that a list states to be in Z; the empty set if there is none."""
    domains = (part for part in node.parts if _is_domain(part))
    stated = [symbols(part) for part in domains if part.parts[1].name == "Z"]
    if node.kind != "list" or len(stated) != 1:
        return frozenset()
    # Of n = 3, n in Z the letter is the wanted one, not any whole number.
    named = (part.parts[0] for part in node.parts if part.kind == "relation" and part.name == "=")
    return stated[0].difference(*map(symbols, named))


def _usual_whole(node: Node) -> frozenset[str]:
    """Return k for x = 7k + 3: the one letter of the value that usually is a whole number."""
    value = node.parts[-1] if node.kind == "relation" else node
    usual = symbols(value) & _OF_WHOLE
    return usual if len(usual) == 1 and node.kind != "modulo" else frozenset()


def has_whole_number(node: Node) -> bool:
    """Return whether a node has the letter that may be any whole number."""
    return _WHOLE.name in symbols(node)


def same_progression(said: Node, gold: Node) -> bool:
    """Return whether two values with any whole number k are the same set: 3 + 7k and 10 - 7k."""
    starts, steps = [], []
    for node in (said, gold):
        at = [_with_letter(node, {_WHOLE.name}, number(k)) for k in range(3)]
        first, second = (difference(at[k + 1], at[k]) for k in range(2))
        if not same_value(first, second):
            return False
        starts.append(at[0])
        steps.append(first)
    step, gap = steps[1], difference(*starts)
    if not any(same_value(steps[0], one) for one in (step, negative(step))):
        return False
    if symbols(gap) | symbols(step):
        return same_value(gap, number(0))  # kx + 1, k in Z: only the same start is found
    shift = value_near(Node("quotient", "", (gap, step)))
    return shift is not None and same_value(gap, Node("product", "", (number(round(shift)), step)))


def _with_letter(node: Node, letters: Set[str], value: Node) -> Node:
    return replaced(node, lambda n: value if n.kind == "symbol" and n.name in letters else None)


# --- sums with dots -----------------------------------------------------------------------------

_BIG = {"sum": "sum", "product": "prod"}
_INDEX = Node("symbol", "index of the dots")
_FIRST = range(-2, 6)  # values of the letter at which such a sum may begin


def without_dots(answer: EqualSides) -> EqualSides:
    r"""Return the answer with 1 + 2 + \cdots + n as a sum from 1 to n, and products likewise."""
    parts = (part._replace(node=replaced(part.node, _without_dots)) for part in answer.parts)
    return answer._replace(parts=tuple(parts)) if "dots" in answer.text else answer


def _without_dots(node: Node) -> Node | None:
    dots = [i for i, part in enumerate(node.parts) if part.kind == "ellipsis"]
    if node.kind not in _BIG or len(dots) != 1 or dots[0] < 2 or dots[0] != len(node.parts) - 2:
        return None
    *first, _, last = node.parts
    letters = symbols(last) - symbols(node._replace(parts=tuple(first)))
    found = _by_letter(first, last, letters) if letters else _by_step(first, last)
    return found and Node("big", _BIG[node.kind], (_INDEX, *found))


def _by_letter(
    first: Sequence[Node], last: Node, letters: frozenset[str]
) -> tuple[Node, Node, Node] | None:
    """Return from, to, and the term of a sum whose last term has the letter n."""
    if len(letters) != 1:
        return None
    (name,) = letters
    for start in _FIRST:
        terms = [_with_letter(last, letters, number(start + i)) for i in range(len(first))]
        if all(map(same_value, terms, first)):
            return number(start), Node("symbol", name), _with_letter(last, letters, _INDEX)
    return None


def _by_step(first: Sequence[Node], last: Node) -> tuple[Node, Node, Node] | None:
    """Return from, to, and the term of a sum of numbers with equal steps."""
    try:
        values = [exact(part, {}) for part in (*first, last)]
    except (NotRational, Undefined, KeyError):
        return None
    step = values[1] - values[0]
    steps = {after - before for before, after in pairwise(values[:-1])}
    if not step or steps != {step} or (values[-1] - values[0]) % step:
        return None
    term = Node("sum", "", (first[0], Node("product", "", (number(step), _INDEX))))
    return number(0), number((values[-1] - values[0]) / step), term


def without_domains(node: Node) -> Node:
    """Return the list without statements like k in Z, as in x = 7k + 3, k in Z."""
    kept = [part for part in node.parts if not _is_domain(part)]
    rest = frozenset().union(*map(symbols, kept))
    gone = [part for part in node.parts if _is_domain(part) and symbols(part) <= rest]
    # Of x > 3, x in Z the domain is a condition too.
    if not kept or _are_conditions(kept) or len(gone) + len(kept) != len(node.parts) or not gone:
        return node
    return kept[0] if len(kept) == 1 else node._replace(parts=tuple(kept))


def _are_conditions(parts: Sequence[Node]) -> bool:
    return any(part.kind == "relation" and part.name not in ("=", "in") for part in parts)


def _is_domain(part: Node) -> bool:
    return part.kind == "relation" and part.name == "in" and part.parts[-1].kind == "domain"


# --- letters that may have another name ---------------------------------------------------------


def renamed(relation: Node, gold: Node) -> Node:
    """Return a function's definition with the variable that the gold answer uses.

    So f(t) = 2t + 3 equals f(x) = 2x + 3.
    """
    mine, target = _argument(relation), _argument(gold)
    if mine is None or target is None or mine == target or target in symbols(relation.parts[1]):
        return relation
    if relation.parts[0].parts[0] != gold.parts[0].parts[0]:
        return relation
    return replaced(
        relation, lambda n: Node("symbol", target) if n == Node("symbol", mine) else None
    )


def _argument(relation: Node) -> str | None:
    left = relation.parts[0]
    letters = [part.name for part in left.parts if part.kind == "symbol"]
    function = left.kind == "product" and len(left.parts) == len(letters) == 2
    return letters[1] if function and letters[0] in FUNCTION_NAMES else None


def other_spellings(said: Node, gold: Node) -> Iterator[tuple[Node, Node]]:
    """Yield pairs of trees that mean the same as this pair, with another notation."""
    if holds(said, "basis") or holds(gold, "basis"):
        yield tuple(
            replaced(n, lambda p: _I if p == Node("basis", "i") else None) for n in (said, gold)
        )  # type: ignore[misc]
    if _I in walk(gold) and _J not in walk(gold) and _I not in walk(said):
        yield replaced(said, lambda part: _I if part == _J else None), gold
    if turned := _radians(said, gold):
        yield turned
    if constants := _of_integration(said, gold):
        yield constants


def _radians(said: Node, gold: Node) -> tuple[Node, Node] | None:
    """Return both values in radians if one is in degrees and the other has pi; else None."""
    angles = [node.kind == "angle" for node in (said, gold)]
    pi = Node("constant", "pi")
    if sum(angles) != 1 or pi not in walk(gold if angles[0] else said):
        return None
    one, other = (in_radians(node) or node for node in (said, gold))
    return one, other


def _of_integration(said: Node, gold: Node) -> tuple[Node, Node] | None:
    """Return the pair with the gold answer's constant of integration in both: x^2 + K as x^2 + C.

    Returns None if they do not have such constants.
    """
    mine, theirs = _constant_of(said), _constant_of(gold)
    if mine is None or theirs is None or mine == theirs:
        return None
    if theirs.name[0] not in "CcKk" or not symbols(gold) - {theirs.name} <= _VARIABLES:
        return None
    return replaced(said, lambda part: theirs if part == mine else None), gold


def _constant_of(node: Node) -> Node | None:
    """Return the only letter that is a term of its own and may be a constant, or None."""
    if node.kind != "sum":
        return None
    alone = [part for part in node.parts if part.kind == "symbol" and part.name[0] in _CONSTANTS]
    if len(alone) != 1:
        return None
    rest = [part for part in node.parts if part is not alone[0]]
    used = any(alone[0].name in symbols(part) for part in rest)
    return None if used or not any(map(symbols, rest)) else alone[0]
