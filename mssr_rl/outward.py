"""What goes out to people: no secret in it, and nothing that its reader's program would obey.

Messages quote what files, models and libraries said; a table names arms that somebody else may have
named. Each target has one way to escape, and it stands here:

    plain      a terminal: no character that moves the cursor, hides or reverses text
    latex      table.tex: no command, comment or mathematics
    markdown   report.md and tables: no HTML, link, heading or end of a cell
    (HTML)     the templates' autoescape (`report.html`), and `markupsafe.escape` in drawings

`redacted` makes a text safe to keep; `secret` finds what should never have been written into a
config.
"""

import os
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

MASK = "<secret>"
SHORTEST = 8  # characters of a secret from the environment that are worth looking for

_SHAPES = (
    r"hf_[A-Za-z0-9]{20,}",  # Hugging Face
    r"sk-[A-Za-z0-9_-]{20,}",  # OpenAI, Anthropic
    r"gh[oprsu]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}",
    r"glpat-[A-Za-z0-9_-]{20,}",
    r"(?:AKIA|ASIA)[A-Z0-9]{16}",  # AWS
    r"xox[abprs]-[A-Za-z0-9-]{10,}",  # Slack
    r"AIza[A-Za-z0-9_-]{35}",  # Google
    r"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",  # a signed token
    r"(?<=://)[^/\s:@'\"]+:[^/\s@'\"]+(?=@)",  # user:password@host
    r"(?i:(?<=bearer ))[A-Za-z0-9._~+/-]{16,}",
    r"(?i:(?<=token=)|(?<=api_key=)|(?<=apikey=)|(?<=password=)|(?<=secret=))[^\s&'\",;]{6,}",
)
_SECRET = re.compile("|".join(_SHAPES))
_NAMED = re.compile(
    r"TOKEN(?!IZ)|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|CREDENTIAL|KEY$", re.IGNORECASE
)
_LATEX = str.maketrans(
    {
        **{char: f"\\{char}" for char in "_%&#${}"},
        "\\": "\\textbackslash{}",
        "^": "\\textasciicircum{}",
        "~": "\\textasciitilde{}",
        "−": "$-$",
        "×": "$\\times$",
    }
)
# An underscore inside a word, as in reinforce_pp, means nothing to Markdown and stays readable.
_EMPHASIS = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_MARKDOWN = str.maketrans(
    {**{char: f"\\{char}" for char in "\\`*[]|"}, "<": "&lt;", ">": "&gt;", "&": "&amp;"}
)
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def secret(text: str) -> bool:
    """Whether a text holds something that looks like a password or a key."""
    return _SECRET.search(text) is not None or any(value in text for value in _known())


def redacted(text: str) -> str:
    """The text without what looks like a secret, or is one of this process's environment."""
    for value in _known():
        text = text.replace(value, MASK)
    return _SECRET.sub(MASK, text)


def redacted_tree(tree: Any) -> Any:
    """The same for every text in nested mappings and lists."""
    if isinstance(tree, str):
        return redacted(tree)
    if isinstance(tree, Mapping):
        return {key: redacted_tree(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [redacted_tree(value) for value in tree]
    return tree


def plain(text: str) -> str:
    """Redacted, and every character escaped that moves a cursor, hides or reverses text."""
    return "".join(map(_visible, redacted(text)))


def latex(text: str) -> str:
    """Any text as LaTeX sets it, on one line: after a line's end a comment would be live."""
    return _one_line(text).translate(_LATEX)


def markdown(text: str) -> str:
    """Any text as Markdown shows it, on one line, in a paragraph or in the cell of a table."""
    return _EMPHASIS.sub(r"\\_", _one_line(text).translate(_MARKDOWN))


def _one_line(text: str) -> str:
    return " ".join("".join(map(_visible, text)).split())


def _visible(char: str) -> str:
    if char in "\n\t" or unicodedata.category(char) not in _UNSEEN:
        return char
    return char.encode("unicode_escape").decode("ascii")


def _known() -> list[str]:
    """Values of environment variables that are named like secrets, longest first."""
    found = (value for name, value in os.environ.items() if _NAMED.search(name))
    kept = (v for v in found if len(v) >= SHORTEST and not v.startswith(("/", "~", ".")))
    return sorted(kept, key=len, reverse=True)  # paths to secrets are none themselves
