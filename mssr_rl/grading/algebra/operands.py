r"""What stands between operators: numbers, letters, brackets, macros and function calls.

The lower half of the parser (`parser` is the upper): everything that binds tighter than a sign.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from fractions import Fraction

from mssr_rl.grading.algebra.cursor import Cursor
from mssr_rl.grading.algebra.lexer import FUNCTIONS, Token
from mssr_rl.grading.algebra.literals import decimal, repeating
from mssr_rl.grading.algebra.tree import Node, Unreadable, number
from mssr_rl.grading.quantities import OverLimit

MAX_DEPTH = 40
_CONSTANTS = {"pi": "pi", "infty": "infinity"}
_INVERSE = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
_SAME = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "lg": "log"}
_GREEK = frozenset({
    "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta",
    "vartheta", "iota", "kappa", "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "phi",
    "varphi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Sigma", "Phi",
    "Psi", "Omega", "ell",
})  # fmt: skip  # fmt: skip
_MATRICES = frozenset({"matrix", "pmatrix", "bmatrix", "Bmatrix", "smallmatrix", "array"})
_CLOSING = {"(": (")", "]"), "[": ("]", ")"), "]": ("[", "]")}
_STARTS = frozenset({"(", "[", "{", "|", "{set"})


class Operands(Cursor, ABC):
    """The readers of everything that is one operand."""

    @abstractmethod
    def sum(self) -> Node:
        """Terms with signs between them."""

    @abstractmethod
    def group_items(self, close: tuple[str, ...]) -> tuple[list[Node], Token]:
        """What stands between brackets."""

    def starts_factor(self) -> bool:
        """Could the next token begin a factor that multiplies the one before?"""
        token = self.token
        if token is None:
            return False
        if token.kind in ("number", "repeat"):  # 5 6 is not thirty, x 6 is six x
            before = self.found[self.at - 1]
            return before.kind == "letter" or before.text in _CONSTANTS
        if token.kind in ("letter", "begin"):
            return True
        if token.text == "|":
            return not self.bars
        if token.kind == "sign":
            return token.text in _STARTS
        return token.kind == "command" and (
            token.text in FUNCTIONS | _GREEK or token.text in _MACROS or token.text in _CONSTANTS
        )

    def factor(self) -> Node:
        """One operand with what clings to it: powers, factorials, degrees, per cent."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise OverLimit("too deep")
        node = self._mixed(self._base())
        while self.token:
            if self.accept("^"):
                node = self._power(node)
            elif self.accept("!"):
                node = Node("call", "factorial", (node,))
            elif self.accept("°"):
                node = Node("angle", "", (node,))
            elif self.accept("%"):
                node = Node("quotient", "", (node, number(100)))
            elif self.token.text == "_" and node.kind == "number":
                self.take()
                node = Node("literal", "base", (node, self._argument()))
            else:
                break
        self.depth -= 1
        return node

    def _power(self, base: Node) -> Node:
        if self._circle():
            return Node("angle", "", (base,))
        return Node("power", "", (base, self._exponent()))

    def _circle(self) -> bool:
        start = self.at
        braced = self.accept("{")
        if self.accept("circ") and (not braced or self.accept("}")):
            return True
        self.at = start
        return False

    def _exponent(self) -> Node:
        """In TeX the one token behind ^, elsewhere all that clings: 2^-3, 2^x!, 2^(1/2)."""
        if self.accept("-"):
            return Node("negative", "", (self._exponent(),))
        node = self._argument() if self.token and self.token.text == "{" else self._base()
        return Node("power", "", (node, self._exponent())) if self.accept("^") else node

    def _mixed(self, node: Node) -> Node:
        r"""3\frac{1}{2} and 3 1/2 are three and a half."""
        if node.kind != "number" or Fraction(node.value).denominator != 1 or self.token is None:
            return node
        start = self.at
        part = self._plain_fraction()
        if part is None:
            self.at = start
            return node
        return number(Fraction(node.value) + part)

    def _plain_fraction(self) -> Fraction | None:
        texts = [token.text for token in self.found[self.at : self.at + 7]]
        if len(texts) == 7 and "".join(texts[i] for i in (0, 1, 3, 4, 6)) == "frac{}{}":
            top, bottom, width = texts[2], texts[5], 7
        elif len(texts) > 2 and texts[1] == "/" and self.found[self.at].spaced:
            top, bottom, width = texts[0], texts[2], 3
        elif len(texts) > 1 and texts[0] == "frac" and re.fullmatch("[1-9]{2}", texts[1]):
            top, bottom, width = texts[1][0], texts[1][1], 2
        else:
            return None
        if not (top.isdecimal() and bottom.isdecimal() and int(bottom)):
            return None
        self.at += width
        return Fraction(int(top), int(bottom))

    def _base(self) -> Node:
        token = self.take()
        if token.kind == "number":
            return number(decimal(token.text))
        if token.kind == "repeat":
            return number(repeating(token.text))
        if token.kind == "letter":
            return self._letter(token.text)
        if token.kind == "begin":
            return self._matrix(token.text)
        if token.kind == "sign":
            return self._bracketed(token.text)
        return self._command(token.text)

    def _letter(self, name: str) -> Node:
        if self.accept("_"):
            return Node("symbol", f"{name}_{self._subscript()}")
        while self.accept("'"):
            name += "'"
        return Node("constant", name) if name in ("e", "i") else Node("symbol", name)

    def _subscript(self) -> str:
        if not self.accept("{"):
            return self.take().text
        texts = []
        while not self.accept("}"):
            texts.append(self.take().text)
        return "".join(texts)

    def _bracketed(self, opens: str) -> Node:
        if opens == "{":
            items, _ = self.group_items(("}",))
            if not items:
                raise Unreadable("empty braces")
            return items[0] if len(items) == 1 else Node("set", "", tuple(items))
        if opens == "{set":
            items, _ = self.group_items(("}set",))
            return Node("set", "", tuple(items))
        if opens == "|":
            self.bars += 1
            node = self.sum()
            self.expect("|")
            self.bars -= 1
            return Node("call", "abs", (node,))
        if opens not in _CLOSING:
            raise Unreadable(f"{opens!r} begins nothing")
        bars, self.bars = self.bars, 0
        items, close = self.group_items(_CLOSING[opens])
        self.bars = bars
        brackets = opens + close.text
        if len(items) == 1 and brackets in ("()", "[]") and items[0].kind != "relation":
            return items[0]
        if not items or (len(items) == 1):
            raise Unreadable("brackets around no value")
        return Node("group", brackets, tuple(items))

    def _matrix(self, kind: str) -> Node:
        if kind not in _MATRICES:
            raise Unreadable(kind)
        if kind == "array":
            self._argument_text()
        rows: list[list[Node]] = [[self.sum()]]
        while (token := self.take()).kind != "end":
            if token.text == "&":
                rows[-1].append(self.sum())
            elif token.text != "\\":
                raise Unreadable(f"{token.text!r} in a matrix")
            elif self.token and self.token.kind != "end":
                rows.append([self.sum()])
        if token.text != kind:
            raise Unreadable(f"{kind} ends as {token.text}")
        return Node("matrix", "", tuple(Node("row", "", tuple(row)) for row in rows))

    def _argument_text(self) -> None:
        if self.accept("{"):
            while not self.accept("}"):
                self.take()

    def _command(self, name: str) -> Node:
        if name in _MACROS:
            return _MACROS[name](self)
        if name in _CONSTANTS:
            return Node("constant", _CONSTANTS[name])
        if name in _GREEK:
            full = f"{name}_{self._subscript()}" if self.accept("_") else name
            return Node("symbol", full)
        if name in FUNCTIONS:
            return self._call(_SAME.get(name, name))
        if name == "emptyset":
            return Node("set")
        raise Unreadable(name[:40])

    def _argument(self) -> Node:
        r"""A braced argument, or the one digit, letter or macro that stands for it: \frac12."""
        if self.accept("{"):
            node = self.sum()
            self.expect("}")
            return node
        token = self.token
        if token and token.kind == "number" and len(token.text) > 1 and token.text.isdecimal():
            self.found[self.at] = Token("number", token.text[1:])
            return number(int(token.text[0]))
        return self._base()

    def _fraction(self) -> Node:
        top = self._argument()
        return Node("quotient", "", (top, self._argument()))

    def _binomial(self) -> Node:
        top = self._argument()
        return Node("call", "binomial", (top, self._argument()))

    def _root(self) -> Node:
        index = number(2)
        if self.accept("["):
            index = self.sum()
            self.expect("]")
        elif self.token and self.token.text == "(":  # sqrt(2), in plain text
            return Node("call", "root", (self._base(), index))
        return Node("call", "root", (self._argument(), index))

    def _rounded(self, close: str, name: str) -> Node:
        node = self.sum()
        self.expect(close)
        return Node("call", name, (node,))

    def _reals(self) -> Node:
        self.expect("{")
        if self.take().text != "R":
            raise Unreadable("a set of numbers other than the reals")
        self.expect("}")
        ends = (Node("negative", "", (Node("constant", "infinity"),)), Node("constant", "infinity"))
        return Node("group", "()", ends)

    def _call(self, name: str) -> Node:
        base = None
        power: Node | None = None
        while self.token and self.token.text in ("^", "_"):
            if self.take().text == "^":
                power = self._exponent()
            elif name == "log":
                base = self._argument()
            else:
                raise Unreadable(f"{name} with an index")
        if name in _INVERSE and power == Node("negative", "", (number(1),)):
            name, power = _INVERSE[name], None
        argument = self._call_argument()
        node = Node("call", name, (argument,) if base is None else (argument, base))
        return Node("power", "", (node, power)) if power else node

    def _call_argument(self) -> Node:
        if self.token and self.token.text in ("(", "{", "[", "|"):
            return self._base()  # what follows the bracket belongs to the call: \sin(x)^2
        parts = [self.factor()]
        while self.token and self.starts_factor() and self.token.text not in FUNCTIONS | {"("}:
            parts.append(self.factor())
        return Node("product", "", tuple(parts)) if len(parts) > 1 else parts[0]


_MACROS: Mapping[str, Callable[[Operands], Node]] = {
    "frac": lambda self: self._fraction(),
    "binom": lambda self: self._binomial(),
    "sqrt": lambda self: self._root(),
    "lfloor": lambda self: self._rounded("rfloor", "floor"),
    "lceil": lambda self: self._rounded("rceil", "ceiling"),
    "mathbb": lambda self: self._reals(),
}
