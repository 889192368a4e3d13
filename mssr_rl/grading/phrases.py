"""English and Chinese words around an answer: words that may stand beside a value, and denials.

    units        a word that counts or measures may follow a number; these words may not
    choices      words that affirm a letter may follow it; a denial may not
    judge        "The answer is 15" gives 15; "The answer is not 15" does not
    answers, algebra  a short word is not a product of letters

All such word lists are here. Each may grow.
"""

import re
from collections.abc import Iterable
from functools import lru_cache


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words that hedge, deny or join. A text with one of them does not state one plain answer.
HEDGES = _words(
    "or and not no nor neither either maybe perhaps possibly probably likely unlikely about "
    "approximately approx around roughly nearly almost circa over under above below more less "
    "fewer greater smaller than least most at between to from if unless but yet wrong incorrect "
    "false untrue guess guessing unknown undefined unsure uncertain cannot except without until "
    "instead rather versus vs minus plus times divided mod modulo is are was were be isn't isnt "
    "aren't can't could would should might may because since so then therefore hence also plus "
    "only other others any some all none every who what which where when never impossible"
)
# Words that change the number before them.
MULTIPLIERS = _words(
    "pair pairs couple couples "
    "dozen hundred thousand million billion trillion dozens hundreds thousands millions billions "
    "trillions half halves third thirds quarter quarters fourth fourths fifth fifths sixth sixths "
    "seventh sevenths eighth eighths ninth ninths tenth tenths hundredth hundredths thousandth "
    "thousandths twice double triple score percentage percentages percentiles squared cubed "
    "factorial root roots square cube base power powers exponent"
)
# Words of up to three letters. They are not read as products of letters.
SHORT_WORDS = _words(
    "an are as at but by do for if in is it me my no nor not of off on so the to up us we yes all "
    "any few one two six ten his her our out who why how can may"
)
_DENIED = re.compile(
    r"\W*(?:(?:is|was|are|can|cannot|should|must|would|could|may|might|isn|doesn|has|seems|looks|"
    r"gets|not|no|nor|or|and|but|maybe|perhaps|if)\b|(?:wrong|false|incorrect|untrue)\b)",
    re.IGNORECASE,
)
_AFFIRMED = re.compile(
    r"\W*(?:is|was) (?:the )?(?:correct|right|true|best)?(?: ?(?:answer|option|choice|one))?[.!]?",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(r"\b(?:wrong|incorrect|untrue)\b|n't\b|不|错|非|否", re.IGNORECASE)

_NOUNS = _words(
    "answer result solution value area perimeter circumference length width height volume sum "
    "difference product quotient total number distance probability measure angle radius diameter "
    "ratio slope mean median mode average range cost price speed time age maximum minimum "
    "remainder count amount fraction percentage surface side base hypotenuse"
)
_TEXT = r"(?:\\(?:text|textbf|textrm|mathrm|mbox)\s*\{\s*)?"
_PREFIX = re.compile(
    rf"\s*{_TEXT}(?P<said>(?:[A-Za-z]+[ ,]+){{0,9}}?(?:[A-Za-z]+))\s*"
    r"(?::|\b(?:(?<=is)|(?<=are)|(?<=be)|(?<=equals)|(?<=nswer)(?! ?(?:is|are)\b)))"
    r"\s*[:=]?\s*\}?\s*(?P<value>\S.*)",
    re.DOTALL,
)
_CHINESE_PREFIX = re.compile(
    r"(?P<said>[\u4e00-\u9fff]{1,12})\s*[:=]?\s*(?P<value>[^\u4e00-\u9fff\s].*)", re.DOTALL
)
_CHINESE_IS = re.compile(r".*(?:是|为|等于|答案|答|选|选项|选择|得|共|有)")
_SUFFIX = re.compile(
    r"(?P<value>.*?\S)\s*(?:\\(?:text|textrm|mathrm|mbox)\s*\{)?\s*,?\s*"
    r"(?:only|in total|in all|altogether|(?:is|being) the (?:final |correct |right )?answer)"
    r"\s*[.!]?\s*\}?\s*",
    re.DOTALL,
)
_PROSE = re.compile(r"[A-Za-z]{2,}[ :}]|(?<!\\)[A-Za-z]{4}|[\u4e00-\u9fff]")
_VALUE = re.compile(r"[-+0-9.\\$({\[|]|\\?[A-Za-z](?![A-Za-z])|\*\*")
_ANSWERS = re.compile(r"\b(?:the|thus|so|hence|therefore|final|our|correct)\b", re.IGNORECASE)


def denies(text: str) -> bool:
    """Return whether the text after an option's letter denies or qualifies it."""
    return not _AFFIRMED.fullmatch(text) and bool(_DENIED.match(text) or _TAKEN_BACK.search(text))


def affirms(text: str) -> bool:
    """Return whether the text after a letter affirms it: "is correct", "is the answer"."""
    return bool(_AFFIRMED.fullmatch(text))


@lru_cache(maxsize=4096)
def without_prose(text: str) -> str | None:
    """Return the value in "The area is 5", "Answer: 5" or "5 is the answer"; None for others."""
    if not _PROSE.search(text):
        return None
    if match := _CHINESE_PREFIX.match(text):
        states_answer = _CHINESE_IS.fullmatch(match["said"]) and not _TAKEN_BACK.search(
            match["said"]
        )
        return match["value"] if states_answer else None
    if (match := _SUFFIX.fullmatch(text)) and not _has_hedge(_plain(match["value"])):
        return match["value"]
    if not (match := _PREFIX.match(text)) or not _VALUE.match(match["value"]):
        return None
    before = [word for word in _plain(match["said"]) if word not in ("is", "are", "be", "equals")]
    known = _ANSWERS.search(match["said"]) or any(word in _NOUNS for word in before)
    if not known or _has_hedge(w for w in before if w not in ("so", "hence", "then", "therefore")):
        return None
    value = match["value"]
    unbraced = value.count("}") > value.count("{") and value.rstrip(" .").endswith("}")
    return value.rstrip(" .")[:-1] if unbraced else value


def _plain(text: str) -> list[str]:
    return re.findall(r"[a-z']+", re.sub(r"\\[A-Za-z]+", " ", text.casefold()))


def _has_hedge(words: Iterable[str]) -> bool:
    return any(word in HEDGES for word in words)
