"""Every message that docs/troubleshooting.md explains stands in the program."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = re.findall(r"^### (.+)$", PAGE, re.MULTILINE)


@cache
def said() -> frozenset[str]:
    """All texts of the program, with … in the place of every value."""
    files = [p for f in ("mssr_rl", "algos", "envs") for p in (ROOT / f).rglob("*.py")]
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in files)
    return frozenset(filter(None, (_template(node) for tree in trees for node in ast.walk(tree))))


def _template(node: ast.AST) -> str | None:
    if isinstance(node, ast.JoinedStr):
        return "".join(v.value if isinstance(v, ast.Constant) else "…" for v in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


@pytest.mark.parametrize("message", MESSAGES)
def test_an_explained_message_stands_in_the_program(message: str) -> None:
    assert message in said()


def test_twenty_messages_are_explained_and_a_wrong_one_would_be_found() -> None:
    assert len(MESSAGES) >= 20
    assert "the moon is made of …" not in said()
