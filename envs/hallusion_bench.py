"""HallusionBench (lmms-lab/HallusionBench, arXiv 2310.14566): 951 yes/no questions with a picture.

Columns: category, subcategory, visual_input, set_id, figure_id, question_id, question, gt_answer
("0" no, "1" yes), filename, image. Rows without a picture are left out. aAcc is the share of right
answers. fAcc is the share of figures with all questions right. qAcc is the share of question groups
that are right on all their figures. On the real rows, the constant answer "no" has aAcc 57.83, fAcc
12.14 and qAcc 20.00.

`compat=mssr` scores as MSSR's evaluation does. A response is right if the gold answer is a
substring of the text in its last box. Without a box that text is "none", so a response without a
box is right if the gold answer is "no".
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from mssr_rl.envs import bench, drawn
from mssr_rl.envs.environment import ProblemEnv, Rules, register
from mssr_rl.errors import UserError
from mssr_rl.grading.verify import Verdict, last_box, verify
from mssr_rl.problem import Problem

ANSWERS = {"0": "no", "1": "yes"}
ENDING = "You final answer can only be yes or no."  # MSSR's text, with its spelling
COMPAT = ("strict", "mssr")


def _row(raw: bench.Row) -> bench.Row | None:
    return _any_row(raw) if bench.pictures_of(raw, "image") else None


def _any_row(raw: bench.Row) -> bench.Row:
    images = bench.pictures_of(raw, "image")
    answer = str(raw["gt_answer"])
    if answer not in ANSWERS:
        raise ValueError(f"gt_answer is {answer!r}, neither 0 nor 1")
    names = ("category", "subcategory", "set_id", "figure_id", "question_id")
    return {
        "id": "-".join([*(str(raw[name]) for name in names)]),
        "problem": f"{raw['question'].partition('?')[0]}? {ENDING}",
        "images": images,
        "answer": ANSWERS[answer],
        **{name: raw[name] for name in names},
    }


def metrics(problems: Sequence[Problem], right: Sequence[int]) -> dict[str, float]:
    """Return aAcc, fAcc and qAcc, each between 0 and 1."""
    return {
        "aAcc": sum(right) / len(right),
        "fAcc": _all_right(problems, right, "figure_id"),
        "qAcc": _all_right(problems, right, "question_id"),
    }


def _all_right(problems: Sequence[Problem], right: Sequence[int], name: str) -> float:
    """Return the share of groups in which every answer is right, between 0 and 1.

    The rows of a group have the same category, subcategory, set and value in the column `name`.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for problem, one in zip(problems, right, strict=True):
        e = problem.extras
        key = (problem.tags["category"], e["subcategory"], e["set_id"], e[name])
        groups.setdefault(key, []).append(one)
    return sum(map(all, groups.values())) / len(groups)


def as_mssr(response: str, answer: str, choices: Sequence[str] | None) -> Verdict:  # noqa: ARG001
    """Return the verdict by the rule of MSSR's released evaluation, with its flaw."""
    box = last_box(response)
    right = answer.lower() in (box if box is not None else "None").lower()
    return Verdict("correct" if right else "wrong" if box is not None else "no_answer", box)


def by_words(response: str, answer: str, choices: Sequence[str] | None) -> Verdict:  # noqa: ARG001
    """Return the verdict by VLMEvalKit's rule without its judge.

    A response counts if it has the word yes or the word no, but not both.
    """
    in_response = set(re.sub(r"[^\w\s]", " ", response.lower()).split())
    answers = [word for word in ("yes", "no") if word in in_response]
    if len(answers) != 1:
        return Verdict("no_answer", None)
    return Verdict("correct" if answers[0] == answer else "wrong", answers[0])


def _drawn(split: str, count: int) -> Iterator[bench.Row]:
    rows = drawn.pair_rows(split, count)
    return (row for _, row in zip(range(count), rows, strict=False))


FORMAT = bench.Format(
    name="hallusion_bench",
    about="Yes or no about pictures and edited pictures (lmms-lab/HallusionBench).",
    hub="lmms-lab/HallusionBench",
    splits={"test": ("image", "test")},
    row=_row,
    drawn=_drawn,
    rules=Rules(verify=verify, metric="aAcc, fAcc, qAcc", metrics=metrics),
)
OFFICIAL = replace(
    FORMAT,
    row=_any_row,
    beside="non_image",
    official=Rules(
        verify=by_words,
        respond=str.capitalize,
        extraction="the word yes or no, not both, anywhere in the response",
        metric="aAcc, fAcc, qAcc over all rows, those without a picture too",
        metrics=metrics,
    ),
)


@register("hallusion_bench", gym_id="HallusionBench")
def hallusion_bench(
    *,
    split: str = "test",
    compat: str = "strict",
    scoring: Literal["ours", "official"] = "ours",
    chosen: bench.SetOptions = bench.SetOptions(),
) -> ProblemEnv:
    """Yes or no about pictures and edited pictures (lmms-lab/HallusionBench).

    Args:
        split: test.
        compat: strict, or mssr: the released code's substring rule.
        scoring: ours, or official: rows without a picture count, yes or no anywhere.
    """
    if compat not in COMPAT:
        raise UserError(f"compat={compat}: choose from {', '.join(COMPAT)}")
    if compat == "mssr" and scoring == "official":
        raise UserError("compat=mssr and scoring=official are two rules: choose one of them")
    form = FORMAT if scoring == "ours" else OFFICIAL
    if compat == "mssr":
        rule = "the last box anywhere, else the text None; the gold is looked for in it"
        form = bench.scored(FORMAT, verify=as_mssr, extraction=rule)
    return bench.environment(form, split, chosen, scoring)
