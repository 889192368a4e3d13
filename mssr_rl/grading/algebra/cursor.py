"""A position in a list of tokens, with methods to move on. `operands` and `parser` use it."""

from mssr_rl.grading.algebra.lexer import Token
from mssr_rl.grading.algebra.tree import Unreadable


class Cursor:
    """The tokens, the current position, the depth of nesting, and the bound letters."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.depth = tokens, 0
        self.at, self.token = 0, tokens[0] if tokens else None
        self.bars, self.colons = 0, 1  # open | bars; whether a colon makes a ratio
        self.bound: frozenset[str] = frozenset()

    def move(self, at: int) -> None:
        """Move to a position; `token` is then the token there, or None at the end."""
        self.at, self.token = at, self.tokens[at] if at < len(self.tokens) else None

    def take(self) -> Token:
        """Return the next token and move past it."""
        token = self.token
        if token is None:
            raise Unreadable("the text ends too early")
        self.move(self.at + 1)
        return token

    def accept(self, text: str) -> bool:
        """Return whether the next token is the sign or macro `text`, and move past it if so."""
        if self.token is None or self.token.text != text or self.token.kind in _WITH_TEXT:
            return False
        self.move(self.at + 1)
        return True

    def accept_kind(self, kind: str, text: str | None = None) -> bool:
        """Return whether the next token has this kind, and move past it if so."""
        if self.token is None or self.token.kind != kind or text not in (None, self.token.text):
            return False
        self.move(self.at + 1)
        return True

    def expect(self, text: str) -> None:
        """Move past the expected token. Raises Unreadable if another one comes next."""
        if not self.accept(text):
            raise Unreadable(f"no {text!r}")

    def at_word(self) -> bool:
        """Return whether the next token is a word that joins answers, such as "or"."""
        return self.at < len(self.tokens) and self.tokens[self.at].kind == "word"


_WITH_TEXT = frozenset({"letter", "subscript", "basis"})  # the text of these kinds is never a sign
