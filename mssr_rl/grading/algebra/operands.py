"""Parse operands: numbers, letters, brackets, macros and function calls.

This is the lower half of the parser: everything that binds more tightly than a sign. `parser` is
the upper half. What a macro means is one line in `_MACROS` or in a table beside it.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from fractions import Fraction

from mssr_rl.grading.algebra.cursor import Cursor
from mssr_rl.grading.algebra.lexer import GREEK, Token
from mssr_rl.grading.algebra.literals import decimal, repeating
from mssr_rl.grading.algebra.tree import (
    ALWAYS,
    REALS,
    Node,
    Unreadable,
    in_radians,
    number,
    replaced,
)
from mssr_rl.grading.latex import FUNCTIONS, clean
from mssr_rl.grading.quantities import OverLimit

MAX_DEPTH = 40
_CONSTANTS = {"pi": "pi", "infty": "infinity"}
_INVERSE = {
    "sin": "arcsin", "cos": "arccos", "tan": "arctan", "cot": "arccot", "sec": "arcsec",
    "csc": "arccsc", "sinh": "arcsinh", "cosh": "arccosh", "tanh": "arctanh",
}  # fmt: skip
_OF_ANGLES = frozenset({"sin", "cos", "tan", "sec", "csc", "cot"})
_SAME = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "lg": "log",
         "sign": "sgn", "ceil": "ceiling"}  # fmt: skip
_MATRICES = frozenset(
    {"matrix", "pmatrix", "bmatrix", "Bmatrix", "smallmatrix", "array", "vmatrix"}
)
_CLOSING = {"(": (")", "]"), "[": ("]", ")"), "]": ("[", "]"), "langle": ("rangle",)}
_BRACKETS = {"langle": "<", "rangle": ">"}
_STARTS = frozenset({"(", "[", "{", "|", "{set"})
_ENDS = frozenset({")", "]", "}", "|", "!", "°", "'"})  # a number after one of these is a factor
_DOMAINS = frozenset("ZNQC")
_ACCENTS = frozenset({
    "overline", "overrightarrow", "overleftrightarrow", "overparen", "hat", "tilde", "widetilde",
    "dot", "ddot", "underbrace",
})  # fmt: skip
_OBJECTS = frozenset({"angle", "measuredangle", "triangle", "odot", "square", "parallelogram"})


class Operands(Cursor, ABC):
    """A parser of single operands; the subclass in `parser` adds the signs between them."""

    @abstractmethod
    def sum(self) -> Node:
        """Parse terms with plus and minus signs between them."""

    @abstractmethod
    def term(self) -> Node:
        """Parse factors that are multiplied."""

    @abstractmethod
    def relation(self) -> Node:
        """Parse a value, or values with relation signs between them."""

    @abstractmethod
    def inner(self, text: str) -> Node:
        """Parse a text that is nested in this one, with the same bound letters."""

    @abstractmethod
    def conditions(self) -> Node:
        """Parse relations that must all be true, or of which one must be true."""

    @abstractmethod
    def group_items(self, close: tuple[str, ...]) -> tuple[list[Node], Token]:
        """Parse the items between brackets."""

    def starts_factor(self) -> bool:
        """Return whether the next token can begin a factor that multiplies the previous one."""
        token = self.token
        if token is None:
            return False
        if token.kind in ("number", "repeat"):  # 5 6 is not a product; x 6, 3^n 5, (n+1)2 are
            before = self.tokens[self.at - 1]
            powered = self.at > 1 and self.tokens[self.at - 2].text == "^"
            named = before.kind in ("letter", "subscript") or before.text in _CONSTANTS
            return named or before.text in _ENDS or (powered and before.kind == "number")
        if token.kind in ("letter", "begin", "basis"):
            return True
        # Inside bars the next bar closes them, so it never begins a factor there.
        if token.text == "|":
            return not self.bars
        if token.kind == "sign":
            return token.text in _STARTS
        return token.kind == "command" and token.text in _MACROS

    def factor(self) -> Node:
        """Parse one operand with its powers, factorials, degrees and per cent signs."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise OverLimit("too deep")
        node = self._mixed(self._base())
        while self.token:
            if self.accept("^"):
                node = self._power(node)
            elif self.accept("!"):
                node = Node("call", "factorial", (node,))
            elif self.accept("°") or self.accept("circ"):
                node = self._degrees(node)
            elif self.accept("%"):
                node = Node("quotient", "", (node, number(100)))
            elif self.token.text == "_" and node.kind == "number":
                self.take()
                node = _with_base(node, self._argument())
            else:
                break
        self.depth -= 1
        return node

    def _degrees(self, node: Node) -> Node:
        """Parse degrees, perhaps with minutes and seconds after them: 63°45'30''."""
        total = node
        for marks, parts in (("'", 60), ("''", 3600)):
            start, token = self.at, self.token
            if token is None or token.kind != "number":
                break
            self.take()
            if all(self.accept("'") for _ in marks) and not (self.token and self.token.text == "'"):
                part = number(decimal(token.text) / parts)
                total = Node("sum", "", (total, part))
            else:
                self.move(start)
        return Node("angle", "", (total,))

    def _power(self, base: Node) -> Node:
        if self._circle():
            return self._degrees(base)
        return Node("power", "", (base, self._exponent()))

    def _circle(self) -> bool:
        start = self.at
        braced = self.accept("{")
        if self.accept("circ") and (not braced or self.accept("}")):
            return True
        self.move(start)
        return False

    def _exponent(self) -> Node:
        """Parse an exponent: one token after ^ in TeX, and also 2^-3, 2^x!, 2^(1/2)."""
        if self.accept("-"):
            return Node("negative", "", (self._exponent(),))
        node = self._argument() if self.token and self.token.text == "{" else self._base()
        return Node("power", "", (node, self._exponent())) if self.accept("^") else node

    def _mixed(self, node: Node) -> Node:
        r"""Parse the mixed numbers 3\frac{1}{2} and 3 1/2 as three and a half."""
        if node.kind != "number" or Fraction(node.value).denominator != 1 or self.token is None:
            return node
        start = self.at
        part = self._plain_fraction()
        if part is None:
            self.move(start)
            return node
        return number(Fraction(node.value) + part)

    def _plain_fraction(self) -> Fraction | None:
        texts = [token.text for token in self.tokens[self.at : self.at + 7]]
        if len(texts) == 7 and "".join(texts[i] for i in (0, 1, 3, 4, 6)) == "frac{}{}":
            top, bottom, width = texts[2], texts[5], 7
        elif len(texts) > 2 and texts[1] == "/" and self.tokens[self.at].spaced:
            top, bottom, width = texts[0], texts[2], 3
        elif len(texts) > 1 and texts[0] == "frac" and re.fullmatch("[1-9]{2}", texts[1]):
            top, bottom, width = texts[1][0], texts[1][1], 2
        else:
            return None
        if not (top.isdecimal() and bottom.isdecimal() and int(bottom)):
            return None
        self.move(self.at + width)
        return Fraction(int(top), int(bottom))

    def _base(self) -> Node:
        token = self.take()
        read = _KINDS.get(token.kind)
        return read(self, token.text) if read else self._command(token.text)

    def _letter(self, name: str) -> Node:
        if name == "C" and (chosen := self._chosen()):
            return chosen
        if self.token and self.token.kind == "subscript":
            return self._indexed(name)
        while self.accept("'"):
            name += "'"
        # Under a sum over i, i is the index and not the imaginary unit.
        constant = name in ("e", "i") and name not in self.bound
        return Node("constant" if constant else "symbol", name)

    def _indexed(self, name: str) -> Node:
        """Parse x_1 as a letter of its own. Under a sum over k, b_k depends on k."""
        index = self.take().text
        if name == "C" and (chosen := self._chosen_of(index.strip(" {}"))):
            return chosen
        if self.bound & set(index):
            return Node("indexed", name, (self.inner(index),))
        return Node("symbol", f"{name}_{_plain_index(index)}")

    def _chosen(self) -> Node | None:
        """Parse C(10, 3) as the binomial coefficient "ten choose three"."""
        texts = [token.text for token in self.tokens[self.at : self.at + 5]]
        if len(texts) < 5 or texts[0] + texts[2] + texts[4] != "(,)":
            return None
        top, bottom = self.tokens[self.at + 1], self.tokens[self.at + 3]
        if not all(t.text.isdecimal() or t.text in _COUNTS for t in (top, bottom)):
            return None
        self.move(self.at + 5)
        return Node("call", "binomial", (_count(top.text), _count(bottom.text)))

    def _chosen_of(self, upper: str) -> Node | None:
        """Parse C_{10}^3 and C_n^k as binomial coefficients, but C_1^2 as a constant, squared."""
        start = self.at
        if not ((upper.isdecimal() or upper in _COUNTS) and self.accept("^")):
            return None
        lower = self._argument()
        top = _count(upper)
        if upper.isdecimal() and lower.kind == "number" and Fraction(lower.value) > int(upper):
            self.move(start)
            return None
        return Node("call", "binomial", (top, lower))

    def _bracketed(self, opens: str) -> Node:
        if opens == "{":
            items, _ = self.group_items(("}",))
            if not items:
                raise Unreadable("empty braces")
            return items[0] if len(items) == 1 else Node("set", "", tuple(items))
        if opens == "{set":
            return self._set()
        if opens == "|":
            self.bars += 1
            node = self.sum()
            self.expect("|")
            self.bars -= 1
            return Node("call", "abs", (node,))
        if opens not in _CLOSING:
            raise Unreadable(f"{opens!r} begins nothing")
        # A bracket inside bars may hold bars of its own.
        bars, self.bars = self.bars, 0
        items, close = self.group_items(_CLOSING[opens])
        self.bars = bars
        brackets = _BRACKETS.get(opens, opens) + _BRACKETS.get(close.text, close.text)
        if len(items) == 1 and brackets in ("()", "[]") and items[0].kind != "relation":
            return items[0]
        if len(items) < 2:
            raise Unreadable("brackets around no value")
        return Node("group", brackets, tuple(items))

    def _set(self) -> Node:
        """Parse a set: its members, or {x^2 | condition} with a bar or a colon."""
        if not self._is_builder():
            items, _ = self.group_items(("}set",))
            return Node("set", "", tuple(items))
        self.bars, bars, self.colons = 1, self.bars, 0
        head = self.relation()
        self.bars, self.colons = bars, 1
        if not (self.accept("|") or self.accept(":")):
            raise Unreadable("a set without its condition")
        condition = self.conditions()
        self.expect("}set")
        return Node("builder", "", (head, condition))

    def _is_builder(self) -> bool:
        level = 0
        for i in range(self.at, len(self.tokens)):
            text = self.tokens[i].text
            if level == 0 and text in ("|", ":") and i > self.at:
                return text == "|" or any(t.text in _SIGNS for t in self.tokens[i:])
            level += (text in ("(", "[", "{", "{set")) - (text in (")", "]", "}", "}set"))
            if level < 0:
                return False
        return False

    def _environment(self, kind: str) -> Node:
        if kind == "cases":
            return self._cases()
        if kind not in _MATRICES:
            raise Unreadable(kind)
        if kind == "array":
            self._argument_text()
        matrix = Node("matrix", "", tuple(Node("row", "", row) for row in self._rows(kind)))
        return Node("call", "det", (matrix,)) if kind == "vmatrix" else matrix

    def _rows(self, kind: str) -> list[tuple[Node, ...]]:
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
        return [tuple(row) for row in rows]

    def _cases(self) -> Node:
        """Parse a system of relations, or the cases of a piecewise function."""
        rows: list[Node] = []
        while not (self.token and self.token.kind == "end"):
            value = self.relation()
            comma = self.accept(",")
            marks = [self.accept("&"), self.accept_kind("condition")]
            if any(marks) or (comma and not (self.token and self.token.text in ("\\", "cases"))):
                last = self.tokens[self.at - 1]
                other = last.text == "otherwise" or self.accept_kind("condition", "otherwise")
                value = Node("row", "", (value, ALWAYS if other else self.conditions()))
            rows.append(value)
            for mark in (".", ",", ";"):
                self.accept(mark)
            if not self.accept("\\"):
                break
        if self.take().text != "cases":
            raise Unreadable("cases without their end")
        if all(row.kind == "row" for row in rows):
            return Node("piecewise", "", tuple(rows))
        if any(row.kind == "row" for row in rows):
            raise Unreadable("a case without its condition")
        return Node("list", "and", tuple(rows))

    def _argument_text(self) -> None:
        if self.accept("{"):
            while not self.accept("}"):
                self.take()

    def _command(self, name: str) -> Node:
        if name not in _MACROS:
            raise Unreadable(name[:40])
        return _MACROS[name](self, name)

    def _greek(self, name: str) -> Node:
        if self.token and self.token.kind == "subscript":
            return self._indexed(name)
        return Node("symbol", name)

    def _accented(self, accent: str) -> Node:
        r"""Parse \vec{a} as a letter of its own, and \overline{AB} as the segment AB."""
        inner = self._argument()
        letters = inner.parts if inner.kind == "product" else (inner,)
        if any(part.kind not in ("symbol", "constant", "number") for part in letters):
            raise Unreadable(f"{accent} over an expression")
        names = [str(part.value) for part in letters]
        if accent != "overrightarrow" and len(names) > 1 and all(map(str.isupper, names)):
            return inner
        return Node("symbol", f"{accent} {' '.join(names)}")

    def _object(self, kind: str) -> Node:
        r"""Parse \angle ABC, \angle 2 or \triangle ABC as one name."""
        names = []
        if self.accept("{"):
            while not self.accept("}"):
                names.append(self.take().text)
        elif self.token and self.token.kind == "number":
            names.append(self.take().text)
        while self.token and self.token.kind == "letter" and not names[4:]:
            letter = self.take().text
            names.append(letter)
            if letter.islower():
                break
        if not names and self.token and self.token.text in GREEK:
            names.append(self.take().text)
        if not names:
            raise Unreadable(f"{kind} of nothing")
        return Node("symbol", f"{kind} {''.join(names)}")

    def _argument(self) -> Node:
        r"""Parse a macro's argument: in braces, or one digit, letter or macro, as in \frac12."""
        if self.accept("{"):
            node = self.sum()
            self.expect("}")
            return node
        token = self.token
        if token and token.kind == "number" and len(token.text) > 1 and token.text.isdecimal():
            # TeX takes one digit as the argument, so \frac12 is a half; the other digits stay as a
            # token.
            self.tokens[self.at] = Token("number", token.text[1:])
            self.move(self.at)
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

    def _plain_root(self) -> Node:
        """Parse plain-text "sqrt 19" as the root of the whole number."""
        argument = self._argument() if self.token and self.token.text == "{" else self._base()
        return Node("call", "root", (argument, number(2)))

    def _rounded(self, close: str, name: str) -> Node:
        node = self.sum()
        self.expect(close)
        return Node("call", name, (node,))

    def _domain(self) -> Node:
        braced = self.accept("{")
        name = self.take().text
        if braced:
            self.expect("}")
        if name in _DOMAINS:
            return Node("domain", name)
        if name != "R":
            raise Unreadable("no set of numbers")
        if self.accept("^") and not (self.accept("+") or self.accept("{")):
            raise Unreadable("a space of points")
        return REALS

    def _big(self, name: str) -> Node:
        r"""Parse \sum_{k=1}^{n} term; the letter k is bound in the term."""
        for sign in ("_", "{"):
            self.expect(sign)
        letter = self.take()
        self.expect("=")
        low = self.sum()
        for sign in ("}", "^"):
            self.expect(sign)
        if letter.kind != "letter":
            raise Unreadable(f"a {name} without its letter")
        high = self._argument()
        # The letter is bound in the term, not in its limits.
        bound, self.bound = self.bound, self.bound | {letter.text}
        term = self.term()
        self.bound = bound
        return Node("big", name, (Node("symbol", letter.text), low, high, term))

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
        # sin^{-1} is the inverse function, not one over the sine.
        if name in _INVERSE and power == Node("negative", "", (number(1),)):
            name, power = _INVERSE[name], None
        arguments = self._arguments(name)
        if name in _OF_ANGLES:
            # The sine of 60° is that of pi/3; everywhere else an angle stays in degrees.
            arguments = (replaced(arguments[0], in_radians),)
        node = Node("call", name, arguments if base is None else (*arguments, base))
        return Node("power", "", (node, power)) if power else node

    def _arguments(self, name: str) -> tuple[Node, ...]:
        argument = self._call_argument()
        several = name in ("max", "min", "gcd", "lcm")
        if several != (argument.kind in ("group", "set")):
            raise Unreadable(f"{name} of {argument.kind}")
        return argument.parts if several else (argument,)

    def _call_argument(self) -> Node:
        if self.token and self.token.text in ("(", "{", "[", "|", "{set"):
            return self._base()  # what follows the bracket belongs to the call: \sin(x)^2
        parts = [self.factor()]
        # A function's name ends the argument: \sin x \cos x is a product of two calls.
        while self.token and self.starts_factor() and self.token.text not in FUNCTIONS | {"("}:
            parts.append(self.factor())
        return Node("product", "", tuple(parts)) if len(parts) > 1 else parts[0]


_COUNTS = frozenset({"n", "m", "N", "k"})
_SIGNS = frozenset({"=", "<", ">", "<=", ">=", "!=", "le", "ge", "ne", "in", "equiv"})


def _count(text: str) -> Node:
    return number(int(text)) if text.isdecimal() else Node("symbol", text)


def _with_base(node: Node, base: Node) -> Node:
    """Return a number with a base as a literal, which is compared as written.

    A number in base ten is returned as the number itself.
    """
    return node if base == number(10) else Node("literal", "base", (node, base))


def _plain_index(text: str) -> str:
    return clean(text).replace(" ", "").replace("{", "").replace("}", "")


_KINDS: Mapping[str, Callable[[Operands, str], Node]] = {
    "number": lambda _, text: number(decimal(text)),
    "repeat": lambda _, text: number(repeating(text)),
    "letter": lambda self, text: self._letter(text),
    "basis": lambda _, text: Node("basis", text),
    "begin": lambda self, text: self._environment(text),
    "sign": lambda self, text: self._bracketed(text),
}
_MACROS: Mapping[str, Callable[[Operands, str], Node]] = {
    **{name: lambda _, text: Node("constant", _CONSTANTS[text]) for name in _CONSTANTS},
    **{name: lambda self, text: self._greek(text) for name in GREEK},
    **{name: lambda self, text: self._call(_SAME.get(text, text)) for name in FUNCTIONS},
    **{name: lambda self, text: self._accented(text) for name in _ACCENTS},
    **{name: lambda self, text: self._object(text) for name in _OBJECTS},
    "frac": lambda self, _: self._fraction(),
    "binom": lambda self, _: self._binomial(),
    "sqrt": lambda self, _: self._root(),
    "root": lambda self, _: self._plain_root(),
    "cbrt": lambda self, _: Node("call", "root", (self._base(), number(3))),
    "lfloor": lambda self, _: self._rounded("rfloor", "floor"),
    "lceil": lambda self, _: self._rounded("rceil", "ceiling"),
    "langle": lambda self, text: self._bracketed(text),
    "mathbb": lambda self, _: self._domain(),
    "sum": lambda self, text: self._big(text),
    "prod": lambda self, text: self._big(text),
    "emptyset": lambda *_: Node("set"),
    "ldots": lambda *_: Node("ellipsis"),
}
