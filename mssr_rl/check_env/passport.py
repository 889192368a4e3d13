"""Summarises a data set: fingerprint, kinds of answers, duplicates, and the guessing floor.

The guessing floor is the accuracy of a policy that does not look at the question. It always gives
the most common answer, or the most common answer to each question template. A template is the
question without its numbers.
"""

import re
from collections import Counter
from collections.abc import Sequence
from statistics import median

from mssr_rl.data.overlap import posed
from mssr_rl.envs import ProblemEnv
from mssr_rl.grading.choices import gold_letter
from mssr_rl.grading.readable import parseable
from mssr_rl.problem import Problem

SHOWN = 12  # gold answers that are listed
_KINDS = (
    ("integer", r"[+-]?[0-9]+"),
    ("decimal", r"[+-]?[0-9]*\.[0-9]+"),
    ("fraction", r"[+-]?(?:\\[dt]?frac\s*\{[0-9]+\}\s*\{[0-9]+\}|[0-9]+\s*/\s*[0-9]+)"),
    ("yes/no", r"(?i:yes|no)\.?"),
    ("percent", r".*\\?%"),
    ("clock time or ratio", r"[0-9]+\s*:\s*[0-9]+.*"),
    ("equation or inequality", r".*(?:[=<>]|\\l?[gl]e?q?\b).*"),
    ("set", r"\\\{.*\\\}"),
    ("tuple or interval", r"[\[(].*,.*[\])]"),
    ("words", r"(?:\\text\{)?[A-Za-z][A-Za-z ,.'-]+\}?"),
)


def kind_of(problem: Problem) -> str:
    """Return the kind of a gold answer, from its spelling."""
    answer = problem.answer.strip().strip("$").strip()
    if gold_letter(answer) and (problem.choices or len(answer) > 1 or answer in "ABCDE"):
        return "choice letter"
    return next((k for k, form in _KINDS if re.fullmatch(form, answer, re.DOTALL)), "expression")


def lines(env: ProblemEnv) -> list[str]:
    """Return the summary as lines of text."""
    problems = env.problems
    kinds = Counter(kind_of(problem) for problem in problems)
    pictures = Counter(len(problem.images) for problem in problems)
    lengths = sorted(len(problem.prompt) for problem in problems)
    floor, by_template = guessing_floor(problems)
    verbatim = [p for p in problems if not parseable(p.answer, p.choices)]
    return [
        f"{env.name} {env.split}: {len(problems):,} problems, fingerprint {env.fingerprint()}",
        "answers       " + ", ".join(f"{kind} {n:,}" for kind, n in kinds.most_common()),
        *([_verbatim(verbatim)] if verbatim else []),
        "pictures      "
        + ", ".join(f"{n:,} with {count}" for count, n in sorted(pictures.items())),
        f"prompts       {lengths[0]:,} to {lengths[-1]:,} chars, median {median(lengths):,.0f}",
        f"duplicates    {duplicates(problems):,} rows pose what an earlier row poses",
        f"guessing      {floor:.1%} by one answer, {by_template:.1%} by one to each template",
    ]


def _verbatim(problems: Sequence[Problem]) -> str:
    """Return a line on gold answers that match only an exact copy, with some of them."""
    shown = ", ".join(f"{p.answer[:40]!r} of {p.key}" for p in problems[:SHOWN])
    pay = (
        "1 gold answer pays only if it is"
        if len(problems) == 1
        else f"{len(problems):,} gold answers pay only if they are"
    )
    return f"verbatim      {pay} copied exactly: {shown}"


def duplicates(problems: Sequence[Problem]) -> int:
    """Return the number of rows whose question and pictures occurred in an earlier row."""
    return len(problems) - len({posed(problem) for problem in problems})


def guessing_floor(problems: Sequence[Problem]) -> tuple[float, float]:
    """Return two accuracies: always the most common answer, and the most common per template.

    A template that occurs only once gets the most common answer of all problems.
    """
    overall = Counter(problem.answer for problem in problems)
    by_template: dict[str, Counter[str]] = {}
    for problem in problems:
        template = re.sub(r"-?[0-9]+(?:\.[0-9]+)?", "#", problem.prompt)
        by_template.setdefault(template, Counter())[problem.answer] += 1
    usual = overall.most_common(1)[0][0]
    guessed = sum(
        counts.most_common(1)[0][1] if counts.total() > 1 else counts[usual]
        for counts in by_template.values()
    )
    return overall.most_common(1)[0][1] / len(problems), guessed / len(problems)
