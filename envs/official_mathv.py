r"""MATH-V's own scoring rule (mathllm/MATH-V, evaluation/, MIT), as `env.scoring=official`.

The rule reads the whole response, the think block included. It extracts the answer step by step:

    1. a lone letter A to E at its end (" B." or " (B).") or on its first line is the answer
    2. the text after the last "is " is the answer, if it is a number
    3. without a box: what follows "the final answer is" and the like, to the end of the sentence
    4. with boxes: the inside of the last one, up to the first closing brace without an opening one
    5. of this text, what follows the last "=" or "\approx", without blanks, degrees, units, dollars

The answer is right if it equals the gold answer or the text of its option, ignoring case. It is
also right if both are numbers that agree when rounded to two places. The letter and its option are
both right. The rule reads no other forms, so "B. 5" and most sentences are wrong.
"""

import re

from mssr_rl.grading.algebra.exact import Undefined
from mssr_rl.grading.algebra.identity import value_near
from mssr_rl.grading.algebra.reading import read_claim
from mssr_rl.grading.algebra.tree import Unreadable
from mssr_rl.grading.quantities import OverLimit
from mssr_rl.grading.verify import Verdict
from mssr_rl.problem import Problem

EXTRACTION = "MATH-V's own: a letter, a phrase, or the last box of the whole response"
LONGEST = 80  # characters of an expression that is computed; gold answers have at most 48
FLAGS = ("the final answer is", "the answer is", "the correct answer is", "the answer should be")

_PLAIN = re.compile(
    r"(?:\\(?:frac|sqrt|pi|times|cdot)(?![a-z])|\^\{?[0-9]{1,2}\}?|[0-9.+\-*/(){}\[\]])*"
)
_REMOVED = (
    "\\,", "\n", "\\text", "\\mbox", "\\left", "\\right", "^{\\circ}", "^\\circ", "{m}^3", "m^3",
    "{units}", "units", "{km}", "km",
)  # fmt: skip


def verdict(problem: Problem, response: str) -> Verdict:
    """Return the official verdict on a response; `extracted` is the answer that was compared."""
    answer = extracted(response)
    golds = [problem.extras.get("raw_answer", problem.answer), _option(problem)]
    right = any(gold and same(gold, answer) for gold in golds)
    return Verdict("correct" if right else "wrong" if answer else "no_answer", answer or None)


def response(answer: str) -> str:
    """Return a response with this answer in the form that the rule expects."""
    return f"\\boxed{{{answer}}}"


def extracted(response: str) -> str:
    """Return the answer that the rule extracts from a response; "" if there is none."""
    text = response.strip()
    for letter in "ABCDE":
        ends = (f" {letter}.", f" ({letter}).")
        starts = (f"{letter}\n", f"({letter})\n", f"({letter}) {letter}\n")
        if text.endswith(ends) or text.startswith(starts):
            text = letter
    last = text.rpartition("is ")[2].rstrip(".")
    if _is_float(last):
        text = last
    if "oxed{" in text:
        if text.count("oxed{") > 1:
            text = "\\boxed{" + text.rpartition("oxed{")[2]
    else:
        for flag in FLAGS:
            for flag_text in (flag, flag.replace("the", "The")):
                text = _behind(text, flag_text)
    return _undressed(_cleaned(text))


def same(gold: str, answer: str) -> bool:
    """Return whether two answers are equal as text, or as numbers rounded to two places."""
    a, b = gold.lower(), answer.lower()
    if not a.replace(" ", "") or not b.replace(" ", ""):
        return False
    if a.strip() == b.strip():
        return True
    if (group := _rounded_group(a)) is not None or _rounded_group(b) is not None:
        return group == _rounded_group(b)
    one, other = _value(a), _value(b)
    return one is not None and other is not None and round(one, 2) == round(other, 2)


def _option(problem: Problem) -> str:
    """Return the text of the right option; "" if there are no options."""
    place = "ABCDEFGHIJ".find(problem.extras.get("raw_answer", problem.answer).strip())
    choices = problem.choices or ()
    return choices[place] if 0 <= place < len(choices) else ""


def _behind(text: str, flag: str) -> str:
    if flag not in text:
        return text.strip()
    return text.rpartition(flag)[2].strip().partition("\n")[0].partition(". ")[0]


def _cleaned(text: str) -> str:
    """Return the text in the box, or else the whole text, after its last equals sign."""
    text = text.lower().replace("{}", "")
    if box := re.search(r"oxed\{(.*)\}", text, re.DOTALL):
        text = box[1]
    closing, opening = text.find("}"), text.find("{")
    if closing >= 0 and (opening < 0 or closing < opening):
        text = text[:closing]
    text = text.rpartition("=")[2].rpartition("\\approx")[2].replace(" ", "")
    text = text.replace("\u221e", "\\infty").replace("+\\infty", "\\infty").replace("\\\\", "\\")
    for part in _REMOVED:
        text = text.replace(part, "")
    return _plain_math(text.replace("bmatrix", "pmatrix"))


def _plain_math(text: str) -> str:
    for part in ("\\!", "\\$", "$", "\\%"):
        text = text.replace(part, "")
    text = text.replace("tfrac", "frac").replace("dfrac", "frac").replace("{.", "{0.")
    if text.startswith("."):
        text = f"0{text}"
    text = re.sub(r"\\sqrt(?=[^{])(.)", r"\\sqrt{\1}", text)
    if text == "0.5":
        return "\\frac{1}{2}"
    whole = re.fullmatch(r"(-?[0-9]+)/(-?[0-9]+)", text)
    return f"\\frac{{{whole[1]}}}{{{whole[2]}}}" if whole else text


def _undressed(text: str) -> str:
    for letter in "abcde":
        text = text.replace(f"({letter})", letter).replace(f"{{{letter}}}", letter)
    return text.rstrip(".").lstrip(":").strip()


def _rounded_group(text: str) -> tuple[object, ...] | None:
    """Return the members of a tuple or list with rounded numbers; None for other texts."""
    ends = text[:1] + text[-1:]
    if ends not in ("()", "[]") or "," not in text:
        return None
    members = [part.strip() for part in text[1:-1].split(",")]
    values = [_value(part) for part in members]
    return (ends, *(m if v is None else round(v, 2) for m, v in zip(members, values, strict=True)))


def _value(text: str) -> float | None:
    text = re.sub(r"\$|\\!|(?<=[0-9]),(?=[0-9]{3})", "", text).strip().replace(":", "/")
    text = _before_unopened_brace(text)
    if len(text) > LONGEST or not _PLAIN.fullmatch(text.replace(" ", "")):
        return None
    try:
        parts = read_claim(text).parts
        value = value_near(parts[0].node) if len(parts) == 1 else None
        return None if value is None else float(value)
    except (Unreadable, Undefined, OverLimit, OverflowError, RecursionError):
        return None


def _before_unopened_brace(text: str) -> str:
    """Return the text before the first closing brace without an opening brace.

    The LaTeX reader of the rule stops there.
    """
    depth = 0
    for place, sign in enumerate(text):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if depth < 0:
            return text[:place]
    return text


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
