r"""Turn tokens into a tree by recursive descent: whole answers, lists, relations, sets of numbers.

`operands` parses single operands: numbers, brackets, macros, functions. A number before a fraction
of whole numbers makes a mixed number. A letter or bracket that follows without an operator is
multiplied. `\pm` stays in the tree, and `compare` replaces it by two values.
"""

from mssr_rl.grading.algebra.lexer import Token, tokens
from mssr_rl.grading.algebra.operands import Operands
from mssr_rl.grading.algebra.tree import Node, Unreadable

_RELATIONS = {
    "=": "=", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "!=": "!=",
    "le": "<=", "ge": ">=", "ne": "!=", "in": "in", "approx": "approx", "equiv": "==",
}  # fmt: skip
_BETWEEN_SETS = {"cup": "union", "cap": "cap", "setminus": "without"}
_SETS = ("group", "union", "cap", "without", "set", "domain")
_PLUS_MINUS = {"pm": "", "mp": "-"}
MAX_ITEMS = 64


def parse(text: str) -> Node:
    """Return the tree of a whole answer.

    Raises:
        Unreadable: the parser does not support this notation.
        OverLimit: it is longer or deeper than the limits allow.
    """
    read_tokens = tokens(text)
    while read_tokens and read_tokens[-1].text in (".", ";"):
        read_tokens.pop()
    return _read(_Parser(read_tokens))


def _read(reader: "_Parser") -> Node:
    node = reader.answer()
    if reader.token is not None:
        raise Unreadable(f"{reader.token.text!r} is left over")
    return node


class _Parser(Operands):
    """The parser of everything above single operands, from whole answers down to terms."""

    def answer(self) -> Node:
        """Parse answers joined by "or", "and", commas or semicolons.

        Semicolons may separate lists.
        """
        parts = [self._joined()]
        while self.accept(";"):
            parts.append(self._joined())
        if len(parts) > 1 and all(part.kind != "list" for part in parts):
            return Node("list", ",", tuple(parts))
        return Node("list", ";", tuple(parts)) if len(parts) > 1 else parts[0]

    def _joined(self) -> Node:
        parts, joint = [self.relation()], ""
        groups: list[list[Node]] = []  # of solutions: x = 1, y = 2 and x = 3, y = 4
        while self.token and (self.token.kind == "word" or self.token.text == ","):
            sign = self.take().text
            if sign == "," and self.at_word():
                sign = self.take().text  # "1, 2, or 3"
                joint = sign if joint == "," else joint
            if joint in ("or", "and") and sign == "," and _are_equations(parts):
                groups, parts, joint = [*groups, parts[:-1]], parts[-1:], ""
            if joint and sign != joint and not (joint == "," and sign in ("or", "and")):
                raise Unreadable(f"both {joint} and {sign}")
            joint = sign
            parts.append(self.relation())
        if len(parts) + sum(map(len, groups)) > MAX_ITEMS:
            raise Unreadable("too many items")
        if groups:
            return _solutions([*groups, parts])
        return Node("list", joint, tuple(parts)) if joint else parts[0]

    def conditions(self) -> Node:
        """Parse one relation, or several.

        With commas or "and" all of them must be true, with "or" one of them.
        """
        parts, joints = [self.relation()], set()
        while self.token and (self.token.kind == "word" or self.token.text == ","):
            joints.add("or" if self.take().text == "or" else "and")
            parts.append(self.relation())
        if any(part.kind != "relation" for part in parts) or len(joints) > 1:
            raise Unreadable("no conditions")
        return Node("list", joints.pop(), tuple(parts)) if joints else parts[0]

    def inner(self, text: str) -> Node:
        """Parse a text that is nested in this one, with the same bound letters."""
        reader = _Parser(tokens(text))
        reader.bound, reader.depth = self.bound, self.depth
        return _read(reader)

    def relation(self) -> Node:
        """Parse a value, or values with relation signs between them, perhaps modulo a number."""
        parts, signs = [self.union()], []
        while self.token is not None and self.token.kind not in ("letter", "subscript"):
            sign = _RELATIONS.get(self.token.text)
            if sign is None:
                break
            self.take()
            signs.append(sign)
            parts.append(self.union())
        node = Node("relation", " ".join(signs), tuple(parts)) if signs else parts[0]
        if self.accept("pmod"):
            braced = self.token is not None and self.token.text == "{"
            node = Node("modulo", "", (node, self._argument() if braced else self._base()))
        return node

    def union(self) -> Node:
        r"""Parse sets of numbers joined by \cup, \cap or a set difference."""
        node = self.ratio()
        while self.token and self.token.text in _BETWEEN_SETS:
            kind = _BETWEEN_SETS[self.take().text]
            node = Node(kind, "", (node, self.ratio()))
        return node

    def ratio(self) -> Node:
        """Parse a value, or values with colons between them, as in 3:20."""
        parts = [self.sum()]
        while self.colons and self.accept(":"):
            parts.append(self.sum())
        return Node("literal", ":", tuple(parts)) if len(parts) > 1 else parts[0]

    def sum(self) -> Node:
        """Parse terms with plus and minus signs between them."""
        parts = [self.signed()]
        while self.token and self.token.text in ("+", "-", "pm", "mp"):
            sign = self.take().text
            right = self.signed()
            if sign in ("+", "-"):
                parts.append(_before(sign, right))
            else:
                parts = [Node("plus_minus", _PLUS_MINUS[sign], (_sum(parts), right))]
        return _sum(parts)

    def signed(self) -> Node:
        """Parse a term with any number of signs before it."""
        signs: list[str] = []
        while self.token and self.token.text in ("+", "-", "pm", "mp"):
            signs.append(self.take().text)
        node = self.term()
        for sign in reversed(signs):
            node = _before(sign, node)
        return node

    def term(self) -> Node:
        """Parse factors that are multiplied, by a sign or side by side, and quotients."""
        parts = [self.factor()]
        while self.token:
            if self.accept("*"):
                parts.append(self._signed_factor())
            elif self.accept("/"):
                # A slash takes one factor: 1/2x is half of x.
                parts = [Node("quotient", "", (_product(parts), self._signed_factor()))]
            elif self.accept("bmod"):
                parts = [Node("call", "mod", (_product(parts), self._signed_factor()))]
            elif self.starts_factor():
                parts.append(self.factor())
            else:
                break
        return _product(parts)

    def _signed_factor(self) -> Node:
        if self.accept("-"):
            return Node("negative", "", (self.factor(),))
        self.accept("+")
        return self.factor()

    def group_items(self, close: tuple[str, ...]) -> tuple[list[Node], Token]:
        """Parse items up to a closing bracket, and return them with that bracket."""
        items: list[Node] = []
        if self.token and self.token.text in close:
            return items, self.take()
        while True:
            items.append(self.relation())
            token = self.take()
            if token.text in close:
                return items, token
            if token.text not in (",", ";") or len(items) > MAX_ITEMS:
                raise Unreadable(f"{token.text!r} inside brackets")


def _are_equations(parts: list[Node]) -> bool:
    return len(parts) > 2 and all(part.kind == "relation" and part.name == "=" for part in parts)


def _solutions(groups: list[list[Node]]) -> Node:
    """Return several solutions of a system as one node, each solution with all its letters."""
    if not all(len(group) == len(groups[0]) and _are_named(group) for group in groups):
        raise Unreadable("solutions that name different letters")
    return Node("list", ";", tuple(Node("list", ",", tuple(group)) for group in groups))


def _are_named(group: list[Node]) -> bool:
    """Return whether the parts are x = ..., y = ..., with each letter once."""
    letters = [part.parts[0].name for part in group if part.kind == "relation"]
    return len(group) > 1 and len(set(letters)) == len(group) and all(letters)


def _product(parts: list[Node]) -> Node:
    return Node("product", "", tuple(parts)) if len(parts) > 1 else parts[0]


def _sum(parts: list[Node]) -> Node:
    if len(parts) == 2 and parts[1].kind == "negative":
        taken = parts[1].parts[0]
        # Between two sets a minus takes members away.
        if parts[0].kind in _SETS and taken.kind in _SETS:
            return Node("without", "", (parts[0], taken))
    return Node("sum", "", tuple(parts)) if len(parts) > 1 else parts[0]


def _before(sign: str, node: Node) -> Node:
    if sign == "+":
        return node
    if sign == "-":
        return Node("negative", "", (node,))
    return Node("plus_minus", _PLUS_MINUS[sign], (node,))
