"""MathVista (AI4Math/MathVista, arXiv 2310.02255): several kinds of questions about pictures.

Columns: pid, question, image (path), decoded_image, choices or null, unit, precision, answer (the
*text* of an option), question_type, answer_type, query. The gold answer of a multiple-choice
question is replaced by the letter of its position. So an option with the text "B" is not taken for
a letter. A float answer has a precision, stored as a float; both answers are rounded to it. The
data set's own rule takes the nearest option, so a wrong text may be graded as right. That rule is
`env.scoring=official`. Licence cc-by-sa-4.0. Training on it is prohibited, so there is no train
split here.
"""

from collections.abc import Iterator
from fractions import Fraction

from mssr_rl.data import multiple_choice
from mssr_rl.envs import bench, drawn, official_mathvista
from mssr_rl.envs.environment import Rules
from mssr_rl.grading.precision import verify_rounded
from mssr_rl.grading.verify import Verdict, verify
from mssr_rl.problem import Problem


def _row(raw: bench.Row) -> bench.Row:
    choices = [str(option) for option in raw["choices"] or ()]
    answer = bench.text_of(raw, "answer")
    question = raw["question"]
    if choices:
        if answer not in choices:
            raise ValueError(f"the answer {answer!r} is not one of the options {choices}")
        answer = "ABCDEFGHIJ"[choices.index(answer)]
        question = multiple_choice.with_options(question, choices)
    elif unit := bench.text_of(raw, "unit"):
        question = f"{question} (Unit: {unit})"
    return {
        "id": raw["pid"],
        "problem": question,
        "images": bench.pictures_of(raw, "decoded_image", "image"),
        "answer": answer,
        "raw_answer": bench.text_of(raw, "answer"),
        "choices": choices,
        **{k: raw.get(k) for k in ("unit", "precision", "answer_type", "question_type", "family")},
    }


def _verdict(problem: Problem, response: str) -> Verdict:
    """Return the verdict by value; a float answer is rounded to the precision of its row."""
    precision = problem.extras.get("precision")
    if precision is None or problem.choices or problem.extras.get("answer_type") != "float":
        return verify(response, problem.answer, problem.choices)
    return verify_rounded(response, problem.answer, int(float(precision)))


def _drawn(split: str, count: int) -> Iterator[bench.Row]:
    for number, item in enumerate(drawn.items(split, count)):
        kind = "float" if item.answer.startswith("\\frac") else "integer"
        whole = item.answer.lstrip("-").isdecimal()
        four = drawn.choice(item) if number % 2 and whole else None
        answer, question = item.answer, item.question
        if kind == "float":
            top, bottom = (int(part.strip("{}")) for part in item.answer[5:].split("}{"))
            answer = str(round(float(Fraction(top, bottom)), 2))
            question = "What fraction of the rectangle is shaded? Two decimal places."
        yield {
            "pid": item.key,
            "question": question,
            "image": f"images/{item.key}.png",
            "decoded_image": {"bytes": item.png, "path": None},
            "choices": four.options if four else None,
            "unit": None,
            "precision": 2.0 if kind == "float" else None,
            "answer": answer,
            "question_type": "multi_choice" if four else "free_form",
            "answer_type": "text" if four or not (whole or kind == "float") else kind,
            "family": item.family,
        }


FORMAT = bench.Format(
    name="mathvista",
    gym_id="MathVista",
    about="Mixed questions about pictures, charts and geometry (AI4Math/MathVista).",
    hub="AI4Math/MathVista",
    splits={"test": ("testmini", "test")},
    row=_row,
    drawn=_drawn,
    rules=Rules(per_problem=_verdict, metric="accuracy; floats rounded to the stated precision"),
    official=Rules(
        per_problem=official_mathvista.verdict,
        extraction=official_mathvista.EXTRACTION,
        metric="accuracy by the set's own code",
    ),
)
mathvista = bench.registered_with_official(FORMAT)
