"""Compare whole answers: lists, sets, intervals, relations, matrices, and expressions in them.

`said` is the response's answer and `gold` the gold answer. Some additions are allowed on one side
only. A response may add a derivation or a name on the left. A gold answer may add a unit or an
approximation. docs/grading.md has the rules with examples:

* tuples and bare lists are ordered; sets and answers joined by "or" are not;
* a bare list may stand for a set, and x = v for v;
* relations may be rearranged and scaled; intervals are joined where they touch;
* ratios, clock times and numbers with a base are compared as written.
"""

from collections.abc import Sequence
from fractions import Fraction

from mssr_rl.grading.algebra import forms, left_sides, real_sets, symbolic
from mssr_rl.grading.algebra.exact import Undefined
from mssr_rl.grading.algebra.identity import same_value, same_zeros, value_near
from mssr_rl.grading.algebra.reading import EqualSides, Part, read_claim
from mssr_rl.grading.algebra.tree import (
    Node,
    Unreadable,
    ascending,
    difference,
    equal,
    holds,
    negative,
    symbols,
)
from mssr_rl.grading.quantities import OverLimit
from mssr_rl.grading.units import same_unit

MAX_MEMBERS = 24  # of a set; every pair is compared
SHAPES = (
    "group", "list", "set", "union", "cap", "without", "matrix", "relation", "literal", "row",
    "modulo", "builder", "domain", "name", "ellipsis",
)  # fmt: skip
_PLAIN_JOINTS = {",", ";"}
_LETTERS_OF_PRODUCTS = frozenset("abcxyz")


def equivalent(said: str, gold: str) -> bool:
    """Return whether two answers have the same value; False if one of them cannot be parsed.

    Raises OverLimit if the comparison costs too much.
    """
    try:
        one, other = (forms.without_dots(read_claim(text)) for text in (said, gold))
        # Equal words were already found equal when the answers were read.
        if _is_word(one.text) and _is_word(other.text):
            return False
        target = _wanted(other)
        # A gold answer that is only a decimal pays the answer's decimal; an exact one never does.
        decimal = _is_decimal(other) or (_is_decimal(one) and _has_places(other))
        claim = _wanted(one) if decimal else _claim(one, other)
        if claim is None or target is None or not same_unit(claim.unit, target.unit):
            return False
        return _same(*map(_members, forms.with_whole_numbers(claim.node, target.node)))
    except (Unreadable, Undefined):
        return False
    except RecursionError as error:
        raise OverLimit("too deep") from error


def _is_word(text: str) -> bool:
    """Return whether a text is a word such as "on" or "no".

    A text of the letters a, b, c, x, y, z only, such as xy, is a product.
    """
    return text.isalpha() and len(text) > 1 and not _LETTERS_OF_PRODUCTS.issuperset(text)


# --- chains -------------------------------------------------------------------------------------


def _claim(reading: EqualSides, gold: EqualSides) -> Part | None:
    """Return the final value of a response's answer, or None if its sides disagree.

    For example, 24 * 24 = 576 gives 576. The equation 3 = 3 derives nothing, so it does not count
    as x = 3.
    """
    if not reading.parts:
        return None
    last = reading.parts[-1]
    if any(not _rounds_to(last, decimal) for decimal in reading.rounded):
        return None
    return _end_of_chain(reading.parts, beside_relation=len(gold.parts) > 1)


def _wanted(reading: EqualSides) -> Part | None:
    """Return the value of a gold answer, or its rounded decimal if it gives no exact value."""
    if not _is_decimal(reading):
        return _end_of_chain(reading.parts)
    value, named = reading.rounded[-1], reading.parts[:1]
    return Part(equal(named[0].node, value.node), value.unit) if named else value


def _is_decimal(reading: EqualSides) -> bool:
    """Return whether an answer is only a rounded decimal, perhaps with a name before it."""
    named = [_is_unknown(part.node) for part in reading.parts]
    return bool(reading.rounded) and named in ([], [True])


def _end_of_chain(parts: Sequence[Part], *, beside_relation: bool = False) -> Part | None:
    """Return the last side of a chain of equal sides, or None if the sides disagree.

    If the first side is a name or has letters, the result is the equation of the first and the last
    side.
    """
    *_, last = parts
    if len(parts) == 1:
        return last
    first, middle = parts[0], parts[1:-1]
    units = {part.unit for part in parts if part.unit}
    if len(units) > 1 or any(not _same(part.node, last.node) for part in middle):
        return None
    unit = units.pop() if units else ""
    constant = first.node.kind not in (*SHAPES, "basis") and not symbols(first.node)
    if constant and len(parts) == 2 and symbols(last.node):
        return Part(equal(last.node, first.node), unit)  # 2 = x, 9 = 2a + b
    if constant or (first.node.kind == "group" and not symbols(first.node)):
        derived = first.node != last.node or not beside_relation
        return Part(last.node, unit) if derived and _same(first.node, last.node) else None
    return Part(equal(first.node, last.node), unit)


def _has_places(reading: EqualSides) -> bool:
    """Return whether an answer is only a number with decimal places, such as 12.56."""
    numbers = [part.node.value for part in reading.parts if part.node.kind == "number"]
    return not reading.rounded and len(numbers) == len(reading.parts) == 1 and numbers[0] % 1 != 0


def _is_unknown(node: Node) -> bool:
    return node.kind in ("symbol", "name") or bool(symbols(node))


def _rounds_to(exact: Part, decimal: Part) -> bool:
    """Return whether the decimal is the exact value, rounded or cut to the decimal's digits."""
    if not same_unit(exact.unit, decimal.unit) and not same_unit(decimal.unit, exact.unit):
        return False
    if symbols(exact.node) or symbols(decimal.node):
        return False
    value, near = value_near(exact.node), value_near(decimal.node)
    if value is None or near is None:
        return False
    step = Fraction(1, 10 ** _places(near))
    beyond = (value - near) if value > 0 else (near - value)
    return -step / 2 <= beyond < step


def _places(value: Fraction) -> int:
    """Return the number of decimal places of a decimal; 0 for a whole number."""
    return next((n for n in range(31) if (value * 10**n).denominator == 1), 30)


# --- shapes -------------------------------------------------------------------------------------


def _members(node: Node) -> Node:
    """Return the tree with plus-minus as two values, and with values joined by "or" as a set."""
    if node.kind == "list":
        plain = forms.each_excluded(forms.without_domains(node))
        if plain != node:
            return _members(plain)
    if node.kind == "relation" and node.name in ("=", "!=") and holds(node.parts[1], "plus_minus"):
        left, right = node.parts
        if node.name == "!=":
            return node._replace(parts=(left, Node("set", "", _both(right))))
        return Node("set", "", tuple(equal(left, value) for value in _both(right)))
    if holds(node, "plus_minus") and node.kind not in SHAPES:
        return Node("set", "", _both(node))
    if node.kind not in ("list", "set"):
        return node
    parts: list[Node] = []
    for part in node.parts:
        spelt = _members(part)
        # It came from a plus-minus; it was not a set in a set.
        spread = spelt.kind == "set" and part.kind != "set"
        parts += spelt.parts if spread else (spelt,)
    is_set = node.name == "or" or len(parts) > len(node.parts) or forms.are_values_of_one(parts)
    return Node("set" if is_set else node.kind, node.value, tuple(parts))


def _both(node: Node) -> tuple[Node, Node]:
    return _signed(node, 1), _signed(node, -1)


def _signed(node: Node, sign: int) -> Node:
    parts = tuple(_signed(part, sign) for part in node.parts)
    if node.kind != "plus_minus":
        return node._replace(parts=parts)
    minus = (sign < 0) != (node.name == "-")
    last = negative(parts[-1]) if minus else parts[-1]
    return Node("sum", "", (parts[0], last)) if len(parts) > 1 else last


def _same(said: Node, gold: Node) -> bool:
    if said.kind == "relation" and gold.kind == "relation":
        return _same_relation(said, gold)
    if "modulo" in (said.kind, gold.kind):
        return forms.same_modulo(said, gold, same_value)
    return _same_values(
        _value_of(said, gold, left_sides.said_of), _value_of(gold, said, left_sides.gold_of)
    )


def _same_values(said: Node, gold: Node) -> bool:
    if symbolic.needed_for(said, gold):
        return symbolic.same(said, gold)
    if "set" in (said.kind, gold.kind) and not _is_numbers(said, gold):
        return _same_set(said, gold)
    if _is_numbers(said, gold):
        return real_sets.same(said, gold)
    if vectors := forms.as_vectors(said, gold) or forms.as_points(said, gold):
        return _in_order(*vectors)
    if said.kind in SHAPES or gold.kind in SHAPES:
        return said.kind == gold.kind and _same_shape(said, gold)
    return _same_expression(said, gold)


def _is_numbers(said: Node, gold: Node) -> bool:
    return real_sets.is_union(said) or real_sets.is_union(gold)


def _same_expression(said: Node, gold: Node) -> bool:
    if same_value(said, gold):
        return True
    if forms.has_whole_number(said) and forms.has_whole_number(gold):
        return forms.same_progression(said, gold)
    return any(
        same_value(*pair) for pair in forms.other_spellings(said, gold) if pair != (said, gold)
    )


def _same_shape(a: Node, b: Node) -> bool:
    if a.kind == "list":
        return _same_list(a, b)
    as_written = a.kind in ("group", "literal", "domain", "name", "ellipsis")
    return (not as_written or a.value == b.value) and _in_order(a.parts, b.parts)


def _in_order(a: Sequence[Node], b: Sequence[Node]) -> bool:
    return len(a) == len(b) and all(map(_same, a, b))


def _value_of(a: Node, other: Node, head: left_sides.Head) -> Node:
    """Return the value that `a` states if it is a relation, for comparison with `other`.

    It is v for x = v, S for x in S, and an interval for conditions such as x < 3. If both are
    relations, `a` is returned unchanged.
    """
    if other.kind == "relation" and a.kind == "relation":
        return a
    is_pair = other.kind == "group" and len(other.parts) == 2
    joined = other.kind == "set" and other.name == "or"
    shaped = joined or other.kind in ("builder", "relation", "list")
    of_numbers = is_pair or shaped or real_sets.is_union(other) or a.kind == "builder"
    if of_numbers and (numbers := real_sets.of_conditions(a)):
        return numbers
    if (is_pair or real_sets.is_union(other)) and (builder := real_sets.as_builder(a)):
        return builder
    if other.kind == "group" and left_sides.is_named_point(a):
        return a.parts[1]
    return _right_side(left_sides.named_in_order(a), head)


def _right_side(a: Node, head: left_sides.Head) -> Node:
    """Return v for x = v, and also for x = u = v if u and v are the same.

    Any other node is returned unchanged.
    """
    if a.kind != "relation":
        return a
    left, *values = a.parts
    if a.name == "in":
        return values[0]
    if a.name == "=" and not symbols(left) and head(values[0], left):
        return left  # 2 = x
    if set(a.name.split()) != {"="} or not all(head(left, value) for value in values):
        return a
    return values[-1] if all(_same(values[0], value) for value in values[1:]) else a


def _same_set(a: Node, b: Node) -> bool:
    """Return whether two sets have the same members, in any order.

    One of the two may be a bare list, or a single value beside a set of one member.
    """
    if {a.kind, b.kind} - {"set", "list"}:
        single, other = (a, b) if a.kind == "set" else (b, a)
        return len(single.parts) == 1 and single.value == "or" and _same(single.parts[0], other)
    if max(len(a.parts), len(b.parts)) > MAX_MEMBERS:
        raise OverLimit("a long set")
    if "list" in (a.kind, b.kind) and (_is_system(a) or _is_system(b)):
        return False  # x = 2 or y = 3 is not x = 2 and y = 3
    if "list" in (a.kind, b.kind) and "or" in (a.name, b.name) and _are_letters(a.parts):
        return False  # nor is the option A or C the two options A, C
    return _covers(a.parts, b.parts)


def _is_system(node: Node) -> bool:
    """Return whether a list's relations are about different letters, as in x = 2, y = 3."""
    letters = {symbols(part) for part in node.parts if part.kind == "relation"}
    return len(letters) > 1


def _are_letters(parts: Sequence[Node]) -> bool:
    return all(part.kind == "symbol" and part.name.isupper() for part in parts)


def _covers(a: Sequence[Node], b: Sequence[Node]) -> bool:
    """Return whether each item of `a` equals one of `b`, and each item of `b` one of `a`."""
    return all(any(_same(x, y) for y in b) for x in a) and all(
        any(_same(x, y) for x in a) for y in b
    )


def _same_list(a: Node, b: Node) -> bool:
    """Return whether two lists have equal items in the same order.

    Equations, points and lists may have any order. Conditions on one letter are compared as sets of
    numbers.
    """
    if a.name != b.name and not {a.name, b.name} <= _PLAIN_JOINTS and "and" not in (a.name, b.name):
        return False
    if all(part.kind == "relation" for part in (*a.parts, *b.parts)):
        one, other = real_sets.of_conditions(a), real_sets.of_conditions(b)
        if one and other and symbols(a) == symbols(b):
            return real_sets.same(one, other)
    if all(part.kind in ("relation", "group", "list") for part in (*a.parts, *b.parts)):
        return len(a.parts) + len(b.parts) <= 2 * MAX_MEMBERS and _covers(a.parts, b.parts)
    return _in_order(a.parts, b.parts)


def _same_relation(a: Node, b: Node) -> bool:
    a, b = ascending(a), ascending(b)
    if a.name == b.name == "in":
        return all(map(_same, a.parts, b.parts))
    if a.name != b.name:
        return _same_solutions(a, b)
    if len(a.parts) > 2:
        return _in_order(a.parts, b.parts) or _same_solutions(a, b)
    if any(part.kind in SHAPES for part in (*a.parts, *b.parts)):
        return _in_order(*left_sides.in_the_same_order(a, b))
    return _same_sides(a, b)


def _same_sides(a: Node, b: Node) -> bool:
    """Return whether two equations or inequalities with the same sign have the same solutions."""
    if forms.has_whole_number(a) and forms.has_whole_number(b) and a.parts[0] == b.parts[0]:
        return _same(a.parts[1], b.parts[1])
    one, other = (difference(*forms.renamed(node, b).parts) for node in (a, b))
    if same_zeros(one, other, positive=a.name in ("<", "<=")):
        return True
    return a.name != "=" and _same_solutions(a, b)


def _same_solutions(a: Node, b: Node) -> bool:
    """Return whether two conditions have the same solutions, such as x in (1, 3) and 1 < x < 3."""
    one, other = (real_sets.of_conditions(n) or real_sets.as_builder(n) for n in (a, b))
    if one is None or other is None or symbols(a) != symbols(b):
        return False
    return _same_values(one, other)
