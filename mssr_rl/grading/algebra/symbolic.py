"""Compare the remaining answers by sympy: matrices, infinite sums, sets, some expressions.

Trees become sympy objects through sympy's constructors, node by node. No text ever reaches sympy,
and a node without an entry in the tables here raises Unreadable. This runs last, in the worker that
can be killed. Two expressions come here only if they could be compared at too few points.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import pairwise

import sympy
from sympy.matrices import MatrixBase

from mssr_rl.grading.algebra.tree import INFINITY, REALS, Node, Unreadable, holds, number, walk

MAX_NODES = 200
MAX_SIDE = 6  # of a matrix
_SETS = ("builder", "group", "union", "without", "set")
_MATHS = ("sum", "product", "negative", "power", "quotient", "call")


def warm() -> None:
    """Make sympy load its late imports now (half a second), so that no answer waits for them."""
    x, k = Node("symbol", "x"), Node("symbol", "k")
    root = Node("call", "root", (x, number(2)))
    same(Node("product", "", (root, root)), x)
    low, term = number(0), Node("power", "", (number(2), Node("negative", "", (k,))))
    same(Node("big", "sum", (k, low, INFINITY, term)), number(2))
    inside = Node("relation", "<", (Node("call", "abs", (x,)), number(1)))
    same(Node("builder", "", (x, inside)), Node("group", "()", (number(-1), number(1))))


def needed_for(a: Node, b: Node) -> bool:
    """Return whether sympy must compare: a matrix, an infinite sum, or a set by a condition."""
    if "builder" in (a.kind, b.kind):
        return a.kind in _SETS and b.kind in _SETS
    return _is_calculation(a) or _is_calculation(b)


def _is_calculation(node: Node) -> bool:
    return node.kind in (*_MATHS, "big") and any(
        part.kind == "matrix" or (part.kind == "big" and part.parts[2] == INFINITY)
        for part in walk(node)
    )


def same(a: Node, b: Node) -> bool:
    """Return whether sympy proves two nodes equal; False if it cannot decide."""
    if sum(1 for node in (a, b) for _ in walk(node)) > MAX_NODES:
        raise Unreadable("too large for sympy")
    try:
        return _same(_object(a), _object(b))
    except (Unreadable, MemoryError, RecursionError):
        raise
    # Sympy's errors have no common base: PolynomialError, TypeError, ...
    except Exception as error:
        raise Unreadable(f"sympy refuses it: {error}") from error


def _same(one: sympy.Basic, other: sympy.Basic) -> bool:
    if isinstance(one, MatrixBase) or isinstance(other, MatrixBase):
        return _same_matrix(one, other)
    if isinstance(one, sympy.Set) or isinstance(other, sympy.Set):
        return isinstance(one, sympy.Set) and isinstance(other, sympy.Set) and one == other
    return _is_zero(sympy.Add(one, sympy.Mul(-1, other)))


def _same_matrix(one: object, other: object) -> bool:
    if not (isinstance(one, MatrixBase) and isinstance(other, MatrixBase)):
        return False
    return one.shape == other.shape and all(map(_is_zero, one - other))


def _is_zero(difference: sympy.Expr) -> bool:
    return bool(difference == 0 or sympy.simplify(difference) == 0)


def _object(node: Node) -> sympy.Basic:
    if node.kind not in _KINDS:
        raise Unreadable(f"a {node.kind} for sympy")
    return _KINDS[node.kind](node)


def _parts(node: Node) -> list[sympy.Basic]:
    return [_object(part) for part in node.parts]


def _sum(node: Node) -> sympy.Basic:
    total, *rest = _parts(node)
    for part in rest:
        total = total + part
    return total


def _product(node: Node) -> sympy.Basic:
    total, *rest = _parts(node)
    for part in rest:
        total = total * part
    return total


def _quotient(node: Node) -> sympy.Basic:
    top, bottom = _parts(node)
    if isinstance(bottom, MatrixBase) or bottom == 0:
        raise Unreadable("a division by a matrix or by zero")
    return top * sympy.Pow(bottom, -1)


def _power(node: Node) -> sympy.Basic:
    base, exponent = node.parts
    if holds(base, "matrix"):
        # A^T is the transposed matrix, not a power.
        if exponent == Node("symbol", "T"):
            return _object(base).T
        return _object(base) ** _object(exponent)
    return sympy.Pow(_object(base), _object(exponent))


def _call(node: Node) -> sympy.Basic:
    arguments = _parts(node)
    if node.name == "det" and isinstance(arguments[0], MatrixBase):
        return arguments[0].det()
    if node.name not in _FUNCTIONS or any(isinstance(a, MatrixBase) for a in arguments):
        raise Unreadable(node.name)
    return _FUNCTIONS[node.name](*arguments)


def _root(value: sympy.Expr, index: sympy.Expr) -> sympy.Basic:
    # sympy takes the complex root of a negative number where `exact` takes the real one.
    if index != 2 and not value.is_nonnegative:
        raise Unreadable("a root that may be of a negative number")
    return sympy.Pow(value, sympy.Pow(index, -1))


def _matrix(node: Node) -> sympy.Basic:
    rows = [_parts(row) for row in node.parts]
    if len(rows) > MAX_SIDE or any(len(row) != len(rows[0]) for row in rows):
        raise Unreadable("a matrix that is too large or has no shape")
    return sympy.ImmutableMatrix(rows)


def _big(node: Node) -> sympy.Basic:
    letter, low, high, term = (_object(part) for part in node.parts)
    kind = sympy.Sum if node.value == "sum" else sympy.Product
    return kind(term, (letter, low, high)).doit()


def _interval(node: Node) -> sympy.Basic:
    if len(node.parts) != 2 or node.value not in ("()", "[]", "(]", "[)"):
        raise Unreadable("no interval")
    low, high = _parts(node)
    return sympy.Interval(low, high, node.name[0] == "(", node.name[1] == ")")


def _builder(node: Node) -> sympy.Basic:
    """Return the real numbers that satisfy a condition on one letter, as a sympy set."""
    head, condition = node.parts
    letter, domain = head.parts if head.kind == "relation" else (head, REALS)
    signs = condition.name.split()
    known = signs and _RELATIONS.keys() >= set(signs) and domain in _DOMAINS
    if letter.kind != "symbol" or condition.kind != "relation" or not known:
        raise Unreadable("a set that is not of numbers by one condition")
    solutions = _DOMAINS[domain]
    for sign, (left, right) in zip(signs, pairwise(_parts(condition)), strict=True):
        solutions = sympy.solveset(_RELATIONS[sign](left, right), _object(letter), solutions)
    return sympy.FiniteSet(*solutions) if solutions.is_finite_set else solutions


_RELATIONS = {
    "=": sympy.Eq, "<": sympy.Lt, "<=": sympy.Le, ">": sympy.Gt, ">=": sympy.Ge, "!=": sympy.Ne,
}  # fmt: skip
_DOMAINS = {REALS: sympy.S.Reals, Node("domain", "Z"): sympy.S.Integers}
_CONSTANTS = {"pi": sympy.pi, "e": sympy.E, "i": sympy.I, "infinity": sympy.oo}
_TEN = sympy.Integer(10)
_FUNCTIONS: Mapping[str, Callable[..., sympy.Basic]] = {
    "root": _root, "abs": sympy.Abs, "exp": sympy.exp, "ln": sympy.log,
    "log": lambda value, *base: sympy.log(value, *(base or (_TEN,))),
    "sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan, "cot": sympy.cot, "sec": sympy.sec,
    "csc": sympy.csc, "arcsin": sympy.asin, "arccos": sympy.acos, "arctan": sympy.atan,
    "sinh": sympy.sinh, "cosh": sympy.cosh, "tanh": sympy.tanh, "factorial": sympy.factorial,
    "binomial": sympy.binomial,
}  # fmt: skip
_KINDS: Mapping[str, Callable[[Node], sympy.Basic]] = {
    "number": lambda node: sympy.Rational(*Fraction(node.value).as_integer_ratio()),
    "symbol": lambda node: sympy.Symbol(node.name, real=True),
    "constant": lambda node: _CONSTANTS[node.name],
    "sum": _sum,
    "product": _product,
    "negative": lambda node: _object(node.parts[0]) * sympy.Integer(-1),
    "quotient": _quotient,
    "power": _power,
    "call": _call,
    "matrix": _matrix,
    "big": _big,
    "group": _interval,
    "union": lambda node: sympy.Union(*_parts(node)),
    "set": lambda node: sympy.FiniteSet(*_parts(node)),
    "without": lambda node: sympy.Complement(*_parts(node)),
    "builder": _builder,
}
