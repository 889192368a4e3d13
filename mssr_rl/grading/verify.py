r"""Grade one response against one gold answer, within a second and without raising an error.

The format is that of the paper (MSSR): first one <think>...</think> block, then the rest, in which
the last \boxed{} is the answer. The model's text is data: it is compared, never executed. Most
answers are compared at once (`judge`, `answers`, `choices`). The others go to a process that can be
killed (`workers`), where `algebra` compares them. `reward` turns the verdict into a reward.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from mssr_rl.grading.answers import MAX_CHARS, NeedsAlgebra, read_off
from mssr_rl.grading.judge import decide
from mssr_rl.grading.latex import clean
from mssr_rl.grading.quantities import OverLimit

Reason = Literal["correct", "wrong", "no_answer", "bad_format", "timeout", "error"]

REMEMBERED, REMEMBERED_CHARS = 20_000, 256  # verdicts of algebra; longest answer that is kept
_remembered: dict[tuple[str, str, tuple[str, ...] | None], Reason] = {}

_START, _END = "<think>", "</think>"
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?:/\d+)?")
_BOX = "\\boxed{"
_BRACE = re.compile(r"\\boxed\{|\\(?!\\boxed\{)[\\{}]|[{}]")


class Verdict(NamedTuple):
    """The result of grading a response: the reason, and the text in its box, if it has one."""

    reason: Reason
    extracted: str | None

    @property
    def correct(self) -> bool:
        """True if the response is right."""
        return self.reason == "correct"


def verify(response: str, answer: str, choices: Sequence[str] | None = None) -> Verdict:
    """Return the verdict on `response` for the gold `answer`. `choices` are the options, if known.

    The reason `bad_format` means that there is no closed think block at the start. `no_answer`
    means that no box follows it, or that the last box is empty or never closed. `timeout` means
    that the answer is over the limits and was not fully compared.
    """
    rest = after_thinking(response)
    if rest is None:
        return Verdict("bad_format", None)
    text = last_box(rest)
    if text is None:
        return Verdict("no_answer", None)
    if len(text) > MAX_CHARS:
        return Verdict("timeout", text[:MAX_CHARS])
    if not clean(text):
        return Verdict("no_answer", None)
    return Verdict(_reason(text, answer, None if choices is None else tuple(choices)), text)


def _reason(text: str, answer: str, choices: tuple[str, ...] | None) -> Reason:
    try:
        # Reading first: 0.1 ms, where algebra takes about 1 ms and a process (docs/grading.md).
        return "correct" if decide(text, answer, choices, read_off) else "wrong"
    except OverLimit:
        return "timeout"
    except NeedsAlgebra:
        return _by_algebra(text, answer, choices)


def _by_algebra(text: str, answer: str, choices: tuple[str, ...] | None) -> Reason:
    """Return the verdict of a helper process.

    It is cached, because the same answers occur again and again.
    """
    from mssr_rl.grading import workers

    key = (text, answer, choices)
    if key in _remembered:
        return _remembered[key]
    reason: Reason = workers.ask(text, answer, choices)
    # A timeout or a death is not remembered: the next time the same answer may be decided.
    if reason not in ("timeout", "error") and len(text) <= REMEMBERED_CHARS:
        if len(_remembered) >= REMEMBERED:
            _remembered.clear()
        _remembered[key] = reason
    return reason


def gold_response(answer: str) -> str:
    """Return the shortest well-formed response with `answer`.

    If this response gets no reward, the gold answer is bad.
    """
    return f"<think></think>{_BOX}{answer}}}"


def with_think_block(response: str) -> str:
    """Return the response with an empty think block in front.

    If the response has a think block, only the text after it is kept. If that block is never
    closed, the response is returned unchanged, and is graded as having no answer.
    """
    if _END in response:
        return f"{_START}{_END}{response[response.rfind(_END) + len(_END) :]}"
    return response if _START in response else f"{_START}{_END}{response}"


def with_number_boxed(response: str) -> str:
    """Return the response with its last number in a box added at the end.

    A response with a box, or without a number in its last `MAX_CHARS` characters, is returned
    unchanged. So is one whose think block is not closed.
    """
    if _BOX in response or (_START in response and _END not in response):
        return response
    numbers = _NUMBER.findall(response[-MAX_CHARS:])
    return f"{response} {_BOX}{numbers[-1]}}}" if numbers else response


def after_thinking(response: str) -> str | None:
    """Return the text after the think block; None if the response does not begin with one.

    Also returns None if the block is not closed, or if a second think block follows. If there are
    several closing tags, the block ends at the last one.
    """
    start = len(response) - len(response.lstrip())
    first, last = response.find(_END, start), response.rfind(_END)
    if first < 0 or not response.startswith(_START, start) or _START in response[first:]:
        return None
    return response[last + len(_END) :]


def last_box(text: str) -> str | None:
    r"""Return the content of the last \boxed{}, or of a box around it; None if it is not closed.

    Only `MAX_CHARS` characters before and after the start of the last box are read. If the box
    closes later than that, all text after its start is returned, which is over the limit.
    """
    last = text.rfind(_BOX)
    if last < 0:
        return None
    start, end = max(0, last - MAX_CHARS), last + len(_BOX) + MAX_CHARS + 1
    content = _content(text[start:end], last - start)
    closed_later = text.count("}", end) > text.count("{", end)
    return text[last + len(_BOX) :] if content is None and closed_later else content


def _content(window: str, last: int) -> str | None:
    """Return the content of the box at `last` or of the outermost closed box around it; or None."""
    opened: list[int] = []  # where the content of each open brace starts; -1 if it is not a box
    content: slice | None = None
    for m in _BRACE.finditer(window):
        if m[0] in ("{", _BOX):
            opened.append(m.end() if m[0] == _BOX else -1)
        elif m[0] == "}" and opened:
            start = opened.pop()
            if start == last + len(_BOX) or (content and start >= 0):
                content = slice(start, m.start())
    return window[content] if content else None
