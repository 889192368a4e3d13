"""Makes text safe to print and to write: secrets are removed, and control sequences are escaped.

Messages quote text from files, models and libraries, and other people may have named the arms of a
table. Such text must not act as a command where it is shown. Each target has one escape function:

    plain      for a terminal: escapes characters that move the cursor, hide or reverse text
    latex      for table.tex: escapes commands, comments and mathematics
    markdown   for report.md and tables: escapes HTML, links, headings and cell ends
    (HTML)     templates use autoescape (`report.html`), drawings use `markupsafe.escape`

`redacted` removes secrets from a text. `secret` detects them, for example in a config.
"""

import os
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

MASK = "<secret>"
SHORTEST = 8  # shorter values of environment variables are not treated as secrets

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
# Markdown ignores an underscore inside a word, as in reinforce_pp, so it is not escaped there.
_EMPHASIS = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_MARKDOWN = str.maketrans(
    {**{char: f"\\{char}" for char in "\\`*[]|"}, "<": "&lt;", ">": "&gt;", "&": "&amp;"}
)
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def secret(text: str) -> bool:
    """Return whether a text holds something that looks like a password or a key."""
    return _SECRET.search(text) is not None or any(value in text for value in _known())


def redacted(text: str) -> str:
    """Return the text with its secrets replaced by a mask.

    A secret is a text that looks like one, or the value of an environment variable that is named
    like one.
    """
    for value in _known():
        text = text.replace(value, MASK)
    return _SECRET.sub(MASK, text)


def redacted_tree(tree: Any) -> Any:
    """Apply `redacted` to every text in nested mappings and lists."""
    if isinstance(tree, str):
        return redacted(tree)
    if isinstance(tree, Mapping):
        return {key: redacted_tree(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [redacted_tree(value) for value in tree]
    return tree


def plain(text: str) -> str:
    """Return the redacted text with its control characters escaped.

    These are the characters that move a cursor, or that hide or reverse text.
    """
    return "".join(map(_visible, redacted(text)))


def latex(text: str) -> str:
    """Return the text escaped for LaTeX, on one line; a line break could end a LaTeX comment."""
    return _one_line(text).translate(_LATEX)


def markdown(text: str) -> str:
    """Return the text escaped for a paragraph or a table cell in Markdown, on one line."""
    return _EMPHASIS.sub(r"\\_", _one_line(text).translate(_MARKDOWN))


def _one_line(text: str) -> str:
    return " ".join("".join(map(_visible, text)).split())


def _visible(char: str) -> str:
    if char in "\n\t" or unicodedata.category(char) not in _UNSEEN:
        return char
    return char.encode("unicode_escape").decode("ascii")


def _known() -> list[str]:
    """Return the values of environment variables that are named like secrets, longest first."""
    values = (value for name, value in os.environ.items() if _NAMED.search(name))
    # A path to a secret is not a secret itself.
    kept = (v for v in values if len(v) >= SHORTEST and not v.startswith(("/", "~", ".")))
    return sorted(kept, key=len, reverse=True)
